"""Data sets: where they come from, what they must be, how they are split, and batches of them."""

from training.data.catalogue import find_source
from training.data.source import Source
from training.data.split import Bytes, Split, hold_out

__all__ = ["Bytes", "Source", "Split", "find_source", "hold_out"]
