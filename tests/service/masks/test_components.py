"""Connected components against a flood fill."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.masks.components import Connectivity, connected
from tests.service.masks.shapes import blobs, masks


def flooded(mask: NDArray[np.bool_], connectivity: Literal[4, 8]) -> NDArray[np.int32]:
    """The labels by a flood fill from each pixel that has none yet, row by row."""
    labels = np.zeros(mask.shape, np.int32)
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if connectivity == 8 or not dy or not dx]
    for number, start in enumerate(np.argwhere(mask), 1):
        waiting = [tuple(start)]
        while waiting:
            y, x = waiting.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not labels[y, x]:
                labels[y, x] = number
                waiting += [(y + dy, x + dx) for dy, dx in steps]
    found = np.unique(labels)
    return np.searchsorted(found[found > 0], labels, side="left").astype(np.int32) + (labels > 0)


@given(masks(), st.sampled_from([4, 8]))
def test_labels_are_those_of_a_flood_fill(mask: NDArray[np.bool_], connectivity: Connectivity) -> None:
    found = connected(mask, connectivity)

    np.testing.assert_array_equal(found.labels, flooded(mask, connectivity))
    assert len(found) == found.labels.max()


@given(masks(), st.sampled_from([4, 8]))
def test_boxes_and_areas_are_those_of_the_labels(mask: NDArray[np.bool_], connectivity: Connectivity) -> None:
    found = connected(mask, connectivity)

    for number, (box, area) in enumerate(zip(found.boxes.tolist(), found.areas, strict=True), 1):
        y, x = np.nonzero(found.labels == number)
        assert box == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        assert area == len(y)


def spiral(turns: int) -> NDArray[np.bool_]:
    """One line of a pixel's width that winds inwards."""
    side = 4 * turns + 1
    mask = np.zeros((side, side), bool)
    for turn in range(turns):
        low, high = 2 * turn, side - 1 - 2 * turn
        mask[low, max(low - 2, 0) : high + 1] = mask[low : high + 1, high] = mask[high, low : high + 1] = True
        mask[low + 2 : high + 1, low] = True
    return mask


def test_a_line_that_winds_inwards_is_one_component() -> None:
    mask = spiral(50)

    assert len(connected(mask, 4)) == 1
    mask[:, 100] = False
    assert len(connected(mask, 4)) == flooded(mask, 4).max() > 50


def test_a_large_mask_of_blobs_is_labelled_as_by_a_flood_fill() -> None:
    mask = blobs(300, 400)

    np.testing.assert_array_equal(connected(mask).labels, flooded(mask, 8))


def test_the_largest_come_first_and_are_as_many_as_asked() -> None:
    mask = np.zeros((5, 7), bool)
    mask[0, 0] = mask[2:4, 0:3] = mask[0, 4:7] = True

    found = connected(mask)

    assert found.areas.tolist() == [1, 3, 6]
    assert found.largest(2).tolist() == [2, 1]
    assert found.boxes[found.largest(1)].tolist() == [[0, 2, 3, 2]]


def test_a_chess_board_of_a_million_pixels_is_counted() -> None:
    board = np.indices((1024, 1024)).sum(0) % 2 == 0

    assert len(connected(board, 4)) == 1024 * 512
    assert len(connected(board, 8)) == 1


def test_noise_with_too_many_runs_is_refused() -> None:
    board = np.indices((10, 10)).sum(0) % 2 == 0

    with pytest.raises(InvalidArgument, match=r"the mask has 50 runs of pixels in its rows; .* among at most 49"):
        connected(board, most_runs=49)
