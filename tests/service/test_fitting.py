"""An image is brought to the graph's size, and a mask of that size back to the image's."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.fitting import Placement, fitted, placement
from service.package import Preprocessing

SIZES = [(8, 6), (16, 12), (1, 37), (37, 1), (13, 29), (3000, 7), (7, 5), (1, 1)]  # width, height


def preprocessing(fit: Any, width: int = 8, height: int = 6) -> Preprocessing:
    return Preprocessing(tensor="image", colour="grey", height=height, width=width, fit=fit, interpolation="nearest")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_an_image_fills_its_place_and_nothing_else(size: tuple[int, int], fit: str) -> None:
    place = placement(*size, preprocessing(fit))
    white = np.asarray(fitted(Image.new("L", size, 255), preprocessing(fit)))
    filled = np.zeros((6, 8), "u1")
    filled[place.top : place.top + place.height, place.left : place.left + place.width] = 255
    np.testing.assert_array_equal(white, filled)
    assert fit == "pad" or place == Placement(0, 0, 8, 6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_each_pixel_of_the_image_gets_the_class_of_the_nearest_pixel_in_its_place(
    size: tuple[int, int], fit: str
) -> None:
    width, height = size
    place = placement(*size, preprocessing(fit))
    mask = np.arange(48, dtype="u1").reshape(6, 8)
    found = place.taken_back(mask, height, width)
    assert found.shape == (height, width)
    for y in range(height):
        for x in range(width):
            row = place.top + int(Fraction(2 * y + 1, 2 * height) * place.height)
            column = place.left + int(Fraction(2 * x + 1, 2 * width) * place.width)
            assert found[y, x] == mask[row, column]


def test_a_mask_of_the_images_size_comes_back_as_it_is() -> None:
    mask = np.arange(48, dtype="u1").reshape(6, 8)
    np.testing.assert_array_equal(placement(8, 6, preprocessing("pad")).taken_back(mask, 6, 8), mask)


def test_blocks_of_an_image_of_several_times_the_size_come_back_as_blocks() -> None:
    mask = np.random.default_rng(0).integers(0, 4, (6, 8), dtype="u1")
    large = np.kron(mask, np.ones((5, 5), "u1"))
    small = np.asarray(fitted(Image.fromarray(large), preprocessing("pad")))
    np.testing.assert_array_equal(placement(40, 30, preprocessing("pad")).taken_back(small, 30, 40), large)


def test_a_padded_image_is_in_the_middle() -> None:
    assert placement(100, 10, preprocessing("pad")) == Placement(0, 2, 8, 1)
    assert placement(10, 100, preprocessing("pad")) == Placement(3, 0, 1, 6)
    assert placement(4, 6, preprocessing("pad")) == Placement(2, 0, 4, 6)
