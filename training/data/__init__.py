"""Data sets: obtaining them, checking them, splitting them, and making batches."""

from training.data.captions import CaptionSource, CaptionSplit
from training.data.catalogue import find_captions, find_masks, find_source, find_texts
from training.data.cutting import Fold, HoldOut, split
from training.data.masks import MaskSource, MaskSplit
from training.data.source import Shape, Source
from training.data.split import Bytes, Labels, Split

__all__ = [
    "Bytes",
    "CaptionSource",
    "CaptionSplit",
    "Fold",
    "HoldOut",
    "Labels",
    "MaskSource",
    "MaskSplit",
    "Shape",
    "Source",
    "Split",
    "find_captions",
    "find_masks",
    "find_source",
    "find_texts",
    "split",
]
