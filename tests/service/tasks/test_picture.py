"""Pictures of what a network looked at, by their pixels."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.tasks.picture import LEAST_SIDE, overlay, picture_size, signed

RED, BLUE = (255, 0, 0), (0, 0, 255)


def pixels(png: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image).astype("i8")


def grey(value: int, side: int = 4) -> NDArray[np.uint8]:
    return np.full((side, side), value, "u1")


def test_where_the_map_is_largest_the_picture_is_red_and_where_it_is_nothing_it_is_the_image() -> None:
    activation = np.zeros((2, 2), "f4")
    activation[0, 1] = 7
    picture = pixels(overlay(grey(100), activation))
    hot, cold = picture[0, -1], picture[-1, 0]
    assert cold.tolist() == [100, 100, 100]
    assert abs(hot - (np.array(RED) * 0.6 + 100 * 0.4)).max() <= 2


def test_a_weak_place_is_bluer_than_it_is_red() -> None:
    red, _, blue = pixels(overlay(grey(100), np.array([[1, 0.15]], "f4")))[0, -1]
    assert blue > 100 > red


def test_only_the_shape_of_a_map_counts_not_its_scale() -> None:
    activation = np.random.default_rng(0).normal(size=(3, 3)).astype("f4")
    assert overlay(grey(50), activation) == overlay(grey(50), activation * 1024)


@pytest.mark.parametrize("activation", [np.zeros((2, 2)), np.full((2, 2), -3.0), np.full((2, 2), np.nan), [[-np.inf]]])
def test_a_map_that_speaks_nowhere_for_the_class_leaves_the_image_bare(activation: NDArray[np.float64]) -> None:
    assert (pixels(overlay(grey(90), np.asarray(activation, "f4"))) == 90).all()


@pytest.mark.parametrize("value", [5.0, 1e-30, np.inf])
def test_a_map_that_speaks_everywhere_alike_reddens_all_alike(value: float) -> None:
    picture = pixels(overlay(grey(90), np.full((2, 2), value, "f4")))
    assert (picture == picture[0, 0]).all()
    assert picture[0, 0, 0] > 150 > picture[0, 0, 2]


def test_the_image_under_the_map_keeps_its_colours_and_its_sharp_pixels() -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype="u1")
    picture = pixels(overlay(image, np.zeros((2, 2), "f4")))
    np.testing.assert_array_equal(picture, image.repeat(7, 0).repeat(7, 1))


def test_nothing_is_grey_above_is_brighter_below_is_darker() -> None:
    values = np.array([[0, 2], [-1, -2]], "f4")
    picture = pixels(signed(values))
    assert picture.shape == (224, 224)
    assert [int(picture[y, x]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))] == [128, 255, 64, 0]


def test_the_largest_value_of_either_sign_is_the_scale() -> None:
    picture = pixels(signed(np.array([[1, -4]], "f4")))
    assert [int(picture[0, x]) for x in (0, -1)] == [159, 0]


def test_values_in_colour_make_a_picture_in_colour() -> None:
    values = np.zeros((2, 2, 3), "f4")
    values[0, 0] = (1, -1, 0)
    assert pixels(signed(values))[0, 0].tolist() == [255, 0, 128]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_values_that_are_nothing_make_a_grey_picture(value: float) -> None:
    assert (pixels(signed(np.full((3, 3), value, "f4"))) == 128).all()


@given(height=st.integers(1, 2000), width=st.integers(1, 2000))
def test_a_picture_is_a_whole_number_of_times_as_large_and_neither_small_nor_huge(height: int, width: int) -> None:
    drawn = picture_size(height, width)
    times = drawn[0] // height
    assert drawn == (height * times, width * times)
    assert max(drawn) >= LEAST_SIDE
    assert times == 1 or max(height, width) * (times - 1) < LEAST_SIDE
