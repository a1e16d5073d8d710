"""Images with captions: the interface of such a data set, and a split of one in memory."""

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from service.package import Preprocessing
from training.data.source import Origin, Shape
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


class CaptionSource(Origin, Protocol):
    """A data set of images with captions: lower-case words separated by one space.

    ``files`` maps the name of each file that was read to the sha256 of its content. ``mean`` and ``std`` are the
    training pixels', scaled to 0..1, one for each channel. Every method that reads raises `DataError` if a file cannot
    be obtained or does not hold what it should.
    """

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the images."""

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of the training pixels."""

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of the training pixels."""

    @property
    def mirrored(self) -> bool:
        """Whether a caption still describes the mirrored image; false if captions name left and right."""

    @property
    def shareable(self) -> bool:
        """Whether an image may be redistributed, as in a package's golden example."""

    def training(self) -> CaptionSplit:
        """The examples to train on."""

    def validation(self) -> CaptionSplit:
        """The examples to validate on."""

    def test(self) -> CaptionSplit:
        """The test examples: only for `evaluate` and cards, never to choose weights or settings."""

    def preprocessing(self, tensor: str) -> Preprocessing:
        """How any image becomes the input ``tensor``."""


def normalise(caption: str) -> str:
    """``caption`` as words of lower-case letters and digits, separated by one space; other characters are dropped."""
    return " ".join(WORD.findall(POSSESSIVE.sub("", caption.lower())))
