"""Tiles of an image: they cover it, and each pixel is kept where it has the most around it."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.masks.tiles import GRID, Span, spans, tiles

FAR = 10_000


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, int, int]:
    """The size of an image along an axis, of a tile and of the overlap."""
    tile = draw(st.integers(1, 300))
    return draw(st.integers(1, 2000)), tile, draw(st.integers(0, tile - 1))


def margin(span: Span, pixel: int, size: int) -> int:
    """How many pixels the tile has on the side of the pixel where it has the fewest; the image's edge is none."""
    before = pixel - span.start if span.start else FAR
    after = span.stop - 1 - pixel if span.stop < size else FAR
    return min(before, after)


@given(axes())
def test_every_pixel_is_kept_once_by_a_tile_that_is_no_larger_than_wanted(axis: tuple[int, int, int]) -> None:
    size, tile, overlap = axis
    found = spans(size, tile, overlap)

    assert [pixel for span in found for pixel in range(span.first, span.last)] == list(range(size))
    assert all(span.start <= span.first < span.last <= span.stop <= span.start + tile for span in found)


@given(axes())
def test_neighbours_overlap_by_at_least_what_is_wanted(axis: tuple[int, int, int]) -> None:
    size, tile, overlap = axis
    found = spans(size, tile, overlap)

    assert all(one.stop - other.start >= overlap for one, other in pairwise(found))


@given(axes())
def test_a_pixel_is_kept_by_the_tile_in_which_it_is_the_farthest_from_an_edge(axis: tuple[int, int, int]) -> None:
    size, tile, overlap = axis
    found = spans(size, tile, overlap)

    for span in found:
        for pixel in {span.first, span.last - 1}:
            around = [margin(other, pixel, size) for other in found if other.start <= pixel < other.stop]
            assert margin(span, pixel, size) >= max(around) - 1  # of an even overlap, both are as good
            assert margin(span, pixel, size) >= (overlap - 1) // 2


@given(axes())
def test_tiles_begin_where_poolings_of_the_image_do_if_they_are_large_enough(axis: tuple[int, int, int]) -> None:
    size, tile, overlap = axis
    if tile - overlap >= GRID:
        assert all(span.start % GRID == 0 for span in spans(size, tile, overlap))


def test_an_image_that_is_smaller_than_a_tile_is_one() -> None:
    assert spans(100, 180, 45) == [Span(0, 100, 0, 100)]


def test_tiles_come_row_by_row_and_cover_the_image() -> None:
    covered = np.zeros((300, 500), int)
    found = tiles(300, 500, (180, 240), 45)
    for tile in found:
        covered[tile.rows.kept, tile.columns.kept] += 1

    assert (covered == 1).all()
    assert [(tile.rows.start, tile.columns.start) for tile in found] == sorted(
        (tile.rows.start, tile.columns.start) for tile in found
    )
