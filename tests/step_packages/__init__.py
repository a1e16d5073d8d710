"""Real step packages, built in a moment: a character LSTM that samples, a toy diffusion, a toy captioner.

Their steps are also written in numpy here, one row at a time, so that every answer can be checked.
"""

from tests.step_packages.chars import END_TOKEN, LETTERS, POISON, SLOTS, chars, chars_row, write_chars
from tests.step_packages.diffusion import LABELS, diffusion, write_diffusion
from tests.step_packages.words import write_captioner, write_words

__all__ = [
    "END_TOKEN",
    "LABELS",
    "LETTERS",
    "POISON",
    "SLOTS",
    "chars",
    "chars_row",
    "diffusion",
    "write_captioner",
    "write_chars",
    "write_diffusion",
    "write_words",
]
