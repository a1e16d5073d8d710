"""A mask as rectangles of equal pixels: a small mask at the size of a large image, without the image's many pixels."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cells(NamedTuple):
    """A mask in which rows and columns of pixels are repeated.

    Attributes:
        labels: of the cells, (h, w).
        rows: where each row of cells begins in the mask, in pixels, and then the mask's height: (h + 1,), rising.
        columns: where each column of cells begins, and then the mask's width: (w + 1,), rising.
    """

    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def taken(cls, mask: NDArray[np.uint8], rows: NDArray[Any], columns: NDArray[Any]) -> "Cells":
        """The mask whose pixel (y, x) is ``mask[rows[y], columns[x]]``, or 0 if that is outside of ``mask``.

        ``rows`` and ``columns`` do not fall; of the size of ``mask``, they are 0, 1, 2 and so on.
        """
        if (len(rows), len(columns)) == mask.shape:
            return cls(mask, np.arange(len(rows) + 1), np.arange(len(columns) + 1))
        down, across = _edges(rows, mask.shape[0]), _edges(columns, mask.shape[1])
        at = rows[down[:-1]], columns[across[:-1]]
        labels = mask.take(at[0], axis=0, mode="clip").take(at[1], axis=1, mode="clip")
        labels[_outside(at[0], mask.shape[0])] = 0
        labels[:, _outside(at[1], mask.shape[1])] = 0
        return cls(labels, down, across)

    @property
    def pixels_alone(self) -> bool:
        """Whether each cell is one pixel."""
        return self.labels.shape == (self.rows[-1], self.columns[-1])

    @property
    def pixels(self) -> NDArray[np.int64]:
        """How many pixels each cell has, (h, w)."""
        return np.diff(self.rows)[:, None] * np.diff(self.columns)

    @property
    def lines(self) -> NDArray[np.uint8]:
        """The labels of each row of cells at every pixel of the width, (h, width)."""
        return np.repeat(self.labels, np.diff(self.columns), axis=1)


def _edges(places: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Where each run of equal places begins, and how many places there are; all outside of ``size`` on a side equal."""
    changes = np.flatnonzero(np.diff(places.clip(-1, size))) + 1
    return np.concatenate([[0], changes, [len(places)]])


def _outside(places: NDArray[Any], size: int) -> NDArray[np.bool_]:
    return (places < 0) | (places >= size)
