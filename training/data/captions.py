"""Images with captions: the interface of such a data set, and a split of one in memory."""

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from training.data.source import DescribedSource
from training.data.split import Bytes

POSSESSIVE = re.compile(r"\s*['\u2019](?=s\b)|['\u2019]")  # "a man 's hat" is "a mans hat"
WORD = re.compile(r"[^\W_]+")  # letters and digits of any script

Captions = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class CaptionSplit:
    """Images in uint8, (N, H, W) of grey or (N, H, W, 3) of colour, and the captions of each, one or more."""

    images: Bytes
    captions: Captions

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> "CaptionSplit":
        return CaptionSplit(self.images[rows], tuple(self.captions[row] for row in rows))


class CaptionSource(DescribedSource[CaptionSplit], Protocol):
    """A data set of images with captions: lower-case words separated by one space."""


def normalise(caption: str) -> str:
    """``caption`` as words of lower-case letters and digits, separated by one space; other characters are dropped."""
    return " ".join(WORD.findall(POSSESSIVE.sub("", caption.lower())))
