"""A small mask at the size of a large image: every form is that of all of the image's pixels, and costs less."""

import tracemalloc
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.fitting import placement
from service.masks import polygons, rle
from service.masks.cells import Cells
from service.masks.components import connected
from service.package import Preprocessing

CLASSES = 3


@st.composite
def taken_back(draw: st.DrawFn) -> tuple[Cells, NDArray[np.uint8]]:
    """A mask of some graph's size at the size of an image, as cells and as pixels."""
    small, large = st.integers(1, 8), st.integers(1, 30)
    fit: Any = draw(st.sampled_from(["stretch", "pad", "crop"]))
    said = Preprocessing(tensor="image", colour="grey", height=draw(small), width=draw(small), fit=fit)
    height, width, seed = draw(large), draw(large), draw(st.integers(0, 2**32))
    mask = np.random.default_rng(seed).integers(0, CLASSES, (said.height, said.width), dtype="u1")
    place = placement(width, height, said)
    cells = Cells.taken(mask, place.rows(height), place.columns(width))
    return cells, place.taken_back(mask, height, width)


@given(taken_back())
def test_the_cells_have_the_labels_of_their_pixels(both: tuple[Cells, NDArray[np.uint8]]) -> None:
    cells, pixels = both

    np.testing.assert_array_equal(np.repeat(cells.lines, np.diff(cells.rows), axis=0), pixels)
    assert cells.pixels.sum() == pixels.size


@given(taken_back())
def test_run_lengths_are_those_of_all_pixels(both: tuple[Cells, NDArray[np.uint8]]) -> None:
    cells, pixels = both
    of_cells = rle.encode(cells.lines, range(CLASSES), rows=cells.rows)

    for ours, wanted in zip(of_cells, rle.encode(pixels, range(CLASSES)), strict=True):
        assert (ours.height, ours.width, ours.text) == (wanted.height, wanted.width, wanted.text)


@given(taken_back(), st.integers(0, CLASSES - 1))
def test_objects_have_the_boxes_and_areas_of_all_pixels(both: tuple[Cells, NDArray[np.uint8]], label: int) -> None:
    cells, pixels = both
    ours, wanted = connected(cells.labels == label).enlarged(cells), connected(pixels == label)

    np.testing.assert_array_equal(ours.boxes, wanted.boxes)
    np.testing.assert_array_equal(ours.areas, wanted.areas)


@given(taken_back(), st.integers(0, CLASSES - 1))
def test_outlines_have_the_corners_of_all_pixels(both: tuple[Cells, NDArray[np.uint8]], label: int) -> None:
    cells, pixels = both
    columns, rows = cells.columns.tolist(), cells.rows.tolist()
    ours = [
        [[[columns[x], rows[y]] for x, y in ring] for ring in polygon]
        for polygon in polygons.outlines(cells.labels == label)
    ]

    assert ours == polygons.outlines(pixels == label)


def test_what_a_large_image_costs_is_what_the_small_mask_does() -> None:
    mask = np.random.default_rng(0).integers(0, CLASSES, (64, 64), dtype="u1")
    places = np.arange(7000) * 64 // 7000
    tracemalloc.start()
    cells = Cells.taken(mask, places, places)
    assert len(rle.encode(cells.lines, rows=cells.rows)[0].counts) > 7000
    assert connected(cells.labels == 1).enlarged(cells).areas.sum() == cells.pixels[mask == 1].sum()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7000**2
