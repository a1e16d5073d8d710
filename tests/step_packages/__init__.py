"""Real step packages, built in a moment: a character-level LSTM that samples, and a toy diffusion.

Their steps are also written in numpy here, one row at a time, so that every answer can be checked.
"""

from tests.step_packages.chars import END_TOKEN, POISON, SLOTS, chars, chars_row, write_chars
from tests.step_packages.diffusion import LABELS, diffusion, write_diffusion

__all__ = [
    "END_TOKEN",
    "LABELS",
    "POISON",
    "SLOTS",
    "chars",
    "chars_row",
    "diffusion",
    "write_chars",
    "write_diffusion",
]
