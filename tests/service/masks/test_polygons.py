"""Outlines as polygons, against shapely: valid, as large as the mask, and drawn again the same mask."""

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.masks.components import connected
from service.masks.polygons import Polygon, outlines
from tests.service.masks.shapes import blobs, masks

# Two pixels that touch at a corner, alone and as parts of a ring around a hole, falling and rising.
_TOUCHING = np.eye(2, dtype=bool)
_RING = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 1, 1]], bool)


def geometry(polygons: list[Polygon]) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([(outer, holes) for outer, *holes in polygons])


def drawn(shape: shapely.MultiPolygon, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels whose centres are inside."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside: NDArray[np.bool_] = shapely.contains_xy(shape, x, y)
    return inside


@given(masks())
@example(_TOUCHING)
@example(_TOUCHING[::-1])
@example(_RING)
@example(_RING[:, ::-1])
@example(~np.eye(4, dtype=bool))
def test_polygons_are_valid_as_large_as_the_mask_and_drawn_give_it_back(mask: NDArray[np.bool_]) -> None:
    polygons = outlines(mask)

    shape = geometry(polygons)
    assert shape.is_valid, shapely.is_valid_reason(shape)
    assert shape.area == mask.sum()
    np.testing.assert_array_equal(drawn(shape, *mask.shape), mask)
    assert len(polygons) == len(connected(mask, 4))


@given(masks())
def test_rings_are_closed_turn_at_each_corner_and_go_round_as_geojson_wants(mask: NDArray[np.bool_]) -> None:
    for polygon in outlines(mask):
        for number, ring in enumerate(polygon):
            assert shapely.LinearRing(ring).is_ccw == (number == 0)
            assert ring[0] == ring[-1]
            steps = np.diff([*ring, ring[1]], axis=0)
            across = steps[:, 0] != 0
            assert (across == (steps[:, 1] == 0)).all()
            assert (across[1:] != across[:-1]).all()


def test_the_outline_of_one_pixel_is_its_four_corners() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True

    assert outlines(mask) == [[[[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]]]]


def test_an_empty_mask_has_no_polygon() -> None:
    assert outlines(np.zeros((3, 3), bool)) == []


def test_a_large_mask_of_rings_keeps_its_holes() -> None:
    mask = blobs(300, 400)

    shape = geometry(outlines(mask))

    assert shape.is_valid
    assert shape.area == mask.sum()
    assert sum(len(polygon.interiors) for polygon in shape.geoms) > 5


def test_noise_with_too_many_corners_is_refused() -> None:
    board = np.indices((4, 4)).sum(0) % 2 == 0

    with pytest.raises(InvalidArgument, match="the outlines of the mask have 23 corners; at most 22 are answered"):
        outlines(board, most_corners=22)
    assert len(outlines(board, most_corners=23)) == 8
