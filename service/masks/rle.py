"""Run-length encoding of masks as COCO does it, so that pycocotools and other tools of that data set read it.

The pixels are counted column by column, in runs of alternately pixels that are not in the mask and pixels that are,
beginning with those that are not, which may be none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument

# A mask of 50 million pixels that are noise has half as many runs; these take about 4 MB as text.
MOST_RUNS = 2_000_000
_BITS = 5
_MORE = 1 << _BITS  # marks a digit that is followed by another
_SIGN = _MORE >> 1
_ZERO = ord("0")


class RunLengths(NamedTuple):
    """One mask.

    Attributes:
        height, width: of the mask.
        counts: the lengths of the runs, (n,) int64; their sum is the number of pixels.
    """

    height: int
    width: int
    counts: NDArray[np.int64]

    @property
    def text(self) -> str:
        """The counts in COCO's compressed form: ``pycocotools.mask.decode`` takes it as ``counts``.

        From the fourth on, each count has the one before the last subtracted from it. A number is written in digits
        of 5 bits, the lowest first, as ASCII characters from "0"; the highest bit of the last digit is its sign.
        """
        rest = self.counts.copy()
        rest[3:] -= self.counts[1:-2]
        digits, used = [], []
        written = np.ones(len(rest), bool)
        while written.any():
            low = rest & (_MORE - 1)
            rest >>= _BITS
            more = np.where(low & _SIGN, rest != -1, rest != 0)
            digits.append((low | np.where(more, _MORE, 0)) + _ZERO)
            used.append(written)
            written = written & more
        ordered = np.array(digits, np.uint8).T  # (counts, digits): all digits of a number are adjacent
        return str(ordered[np.array(used).T].tobytes(), "ascii")


def encode(
    labels: NDArray[Any],
    values: Sequence[int] = (1,),
    most_runs: int = MOST_RUNS,
    rows: NDArray[np.int64] | None = None,
) -> list[RunLengths]:
    """The run lengths of the pixels with each of the ``values``.

    Args:
        labels: (H, W) of any whole numbers or of booleans.
        values: the labels to encode.
        most_runs: how many runs ``labels`` may have, of all labels together.
        rows: where each row of ``labels`` begins in the mask, and then the mask's height, (H + 1,); None: each row is
            one pixel high.

    Raises:
        InvalidArgument: they have more.
    """
    width = labels.shape[1]
    rows = np.arange(len(labels) + 1) if rows is None else rows
    height = int(rows[-1])
    column_by_column = labels.ravel(order="F")
    changes = np.flatnonzero(column_by_column[1:] != column_by_column[:-1]) + 1
    if len(changes) >= most_runs:
        raise InvalidArgument(
            f"the mask has {len(changes) + 1} runs of equal pixels; at most {most_runs} are encoded as run lengths"
        )
    found = column_by_column[np.concatenate([[0], changes])]  # the label of each run
    columns, within = np.divmod(changes, len(labels))
    starts = np.concatenate([[0], columns * height + rows[within]])
    ends = np.append(starts[1:], height * width)
    return [RunLengths(height, width, _counts(starts, ends, found == value, height * width)) for value in values]


def _counts(
    starts: NDArray[np.int64], ends: NDArray[np.int64], mine: NDArray[np.bool_], size: int
) -> NDArray[np.int64]:
    """What alternates between the others' pixels and mine, from the runs that are mine."""
    edges = np.stack([starts[mine], ends[mine]], 1).ravel()
    if not len(edges) or edges[-1] < size:
        edges = np.append(edges, size)
    return np.diff(edges, prepend=0)
