"""Connected components of a mask, from the runs of its rows: the objects of one class, if they do not touch."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.masks.cells import Cells

Connectivity = Literal[4, 8]

# A chess board of 1024x1024 pixels has half a million, which take half a second and 100 MB.
MOST_RUNS = 1_000_000


class Components(NamedTuple):
    """The components of one mask, in the order in which their first pixels are met, row by row.

    Attributes:
        labels: (H, W) int32: 0 outside of the mask, and the component's number, from 1.
        boxes: (n, 4) int64: left, top, width and height of each, in pixels.
        areas: (n,) int64: the pixels of each.
    """

    labels: NDArray[np.int32]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas)

    def enlarged(self, cells: Cells) -> "Components":
        """The same in the mask's pixels, if these are the components of its ``cells``; ``labels`` stay the cells'."""
        left, top, width, height = self.boxes.T
        if cells.pixels_alone:
            return self
        ends = cells.columns[left + width], cells.rows[top + height]
        left, top = cells.columns[left], cells.rows[top]
        areas = np.bincount(self.labels.ravel(), cells.pixels.ravel(), len(self) + 1)[1:]  # exact: fewer than 2^53
        return Components(self.labels, np.stack([left, top, ends[0] - left, ends[1] - top], 1), areas.astype(np.int64))

    def largest(self, most: int) -> NDArray[np.int64]:
        """The indices, from 0, of the ``most`` components with the largest areas, the largest first."""
        return np.argsort(-self.areas, kind="stable")[:most]


def connected(mask: NDArray[np.bool_], connectivity: Connectivity = 8, most_runs: int = MOST_RUNS) -> Components:
    """The connected components of ``mask``, (H, W).

    Each run of pixels in a row is a node, and runs of neighbouring rows that touch are joined: the time depends on the
    runs, not on the shapes.

    Args:
        mask: the pixels.
        connectivity: 4: pixels are connected by their edges; 8: by their corners, too.
        most_runs: how many runs the mask may have.

    Raises:
        InvalidArgument: it has more.
    """
    height, width = mask.shape
    line = width + 1  # one pixel that is never set keeps the rows' runs apart
    flat = np.zeros((height, line), np.int8)
    flat[:, :-1] = mask
    steps = np.diff(flat.ravel(), prepend=0, append=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    if len(starts) > most_runs:
        raise InvalidArgument(
            f"the mask has {len(starts)} runs of pixels in its rows; components are found among at most {most_runs}"
        )
    numbers = _joined(len(starts), *_touching(starts, ends, line, connectivity))
    return Components(_painted(starts, ends, numbers, height, width), *_measured(starts, ends, numbers, line))


def _touching(
    starts: NDArray[np.int64], ends: NDArray[np.int64], line: int, connectivity: Connectivity
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of runs that touch: each run with those of the next row."""
    beyond = int(connectivity == 8)
    first = np.searchsorted(ends, starts + line - beyond, side="right")
    last = np.searchsorted(starts, ends + line + beyond, side="left")
    count = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), count)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    return upper, np.repeat(first, count) + within


def _joined(runs: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of each run's component, from 0, given the pairs that touch.

    In each round every root that touches a smaller one is hung below the smallest of them, and then all paths are
    shortened to their roots (Shiloach and Vishkin 1982). Within two rounds each root has joined another, so the rounds
    are logarithmic in the number of runs.
    """
    root = np.arange(runs)
    while len(one):
        low, high = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        apart = low < high
        one, other = one[apart], other[apart]
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(above := root[root], root):
            root = above
    return np.unique(root, return_inverse=True)[1]


def _measured(
    starts: NDArray[np.int64], ends: NDArray[np.int64], numbers: NDArray[np.int64], line: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The boxes and the areas of the components."""
    count = int(numbers.max(initial=-1)) + 1
    top, left, end = starts // line, starts % line, ends - starts // line * line
    least, most = np.full((2, count), np.iinfo(np.int64).max), np.zeros((2, count), np.int64)
    for axis, low, high in ((0, left, end), (1, top, top + 1)):
        np.minimum.at(least[axis], numbers, low)
        np.maximum.at(most[axis], numbers, high)
    areas = np.bincount(numbers, ends - starts, count).astype(np.int64)
    return np.concatenate([least, most - least]).T, areas


def _painted(
    starts: NDArray[np.int64], ends: NDArray[np.int64], numbers: NDArray[np.int64], height: int, width: int
) -> NDArray[np.int32]:
    edges = np.stack([starts, ends], 1).ravel()
    lengths = np.diff(edges, prepend=0, append=height * (width + 1))
    values = np.zeros(len(lengths), np.int32)
    values[1::2] = numbers + 1
    return np.repeat(values, lengths).reshape(height, width + 1)[:, :-1]
