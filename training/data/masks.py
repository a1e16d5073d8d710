"""Images with a class for every pixel: the interface of such a data set, and a split of one in memory."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from training.data.source import DescribedSource
from training.data.split import Bytes

# The class of pixels that belong to none: they are neither learnt from nor measured on.
IGNORE = 255
MOST_CLASSES = IGNORE


@dataclass(frozen=True)
class MaskSplit:
    """Images in uint8, (N, H, W) of grey or (N, H, W, 3) of colour, and the class of each pixel, ``masks`` (N, H, W).

    Classes are numbered from 0; `IGNORE` stands for none.
    """

    images: Bytes
    masks: Bytes

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> "MaskSplit":
        return MaskSplit(self.images[rows], self.masks[rows])


class MaskSource(DescribedSource[MaskSplit], Protocol):
    """A data set of images with masks; it is ``mirrored`` unless its classes are digits."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names; a pixel's class is an index into them."""

    @property
    def palette(self) -> tuple[str, ...]:
        """The colour of each class in a picture of a mask, as #rrggbb."""

    @property
    def background(self) -> int | None:
        """The class of what is no object; None if every class is one."""

    @property
    def countable(self) -> tuple[int, ...]:
        """The classes whose connected regions are single objects."""


def pixel_counts(masks: Bytes, classes: int) -> npt.NDArray[np.int64]:
    """How many pixels of ``masks`` (N, H, W) each class has, (classes,); ignored ones are not counted."""
    counts = np.zeros(MOST_CLASSES + 1, np.int64)
    for mask in masks:
        counts += np.bincount(mask.reshape(-1), minlength=len(counts))
    return counts[:classes]
