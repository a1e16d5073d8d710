"""The views of an image that a classifier averages over."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.imaging import VIEW_COUNTS, prepare, take_views
from service.package import VIEWS, Preprocessing

Pixels = NDArray[np.uint8]


def card(height: int, width: int, **changes: Any) -> Preprocessing:
    return Preprocessing.model_validate(
        {"tensor": "image", "colour": "grey", "height": height, "width": width, **changes}
    )


def noise(height: int, width: int, colour: str = "grey") -> Pixels:
    shape = (height, width) if colour == "grey" else (height, width, 3)
    return np.random.default_rng(height * width).integers(0, 256, shape, dtype="u1")


def corners(whole: Pixels, height: int, width: int) -> Iterator[Pixels]:
    """The five crops, by hand."""
    yield whole[:height, :width]
    yield whole[:height, -width:]
    yield whole[-height:, :width]
    yield whole[-height:, -width:]
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    yield whole[top : top + height, left : left + width]


def test_every_kind_of_views_has_a_number() -> None:
    assert tuple(VIEW_COUNTS) == VIEWS


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_ten_crops_of_256_are_the_papers(colour: str) -> None:
    whole = noise(256, 256, colour)
    views = take_views(Image.fromarray(whole), card(224, 224, colour=colour), "ten_crop")
    assert views.shape == (10, 224, 224, *whole.shape[2:])
    for view, mirrored, wanted in zip(views[:5], views[5:], corners(whole, 224, 224), strict=True):
        np.testing.assert_array_equal(view, wanted)
        np.testing.assert_array_equal(mirrored, wanted[:, ::-1])


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_flip_is_the_image_and_its_mirror_image(colour: str) -> None:
    image = noise(5, 8, colour)
    plain, mirrored = take_views(Image.fromarray(image), card(5, 8, colour=colour), "flip")
    np.testing.assert_array_equal(plain, image)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])


sides = st.integers(1, 40)


@given(
    height=sides,
    width=sides,
    image_height=sides,
    image_width=sides,
    fit=st.sampled_from(["stretch", "crop", "pad"]),
    colour=st.sampled_from(["grey", "rgb"]),
    views=st.sampled_from(VIEWS),
)
def test_views_of_any_image_have_the_graphs_shape_and_their_mirror_images(
    height: int, width: int, image_height: int, image_width: int, fit: str, colour: str, views: Any
) -> None:
    how = card(height, width, fit=fit, colour=colour)
    image = Image.fromarray(noise(image_height, image_width, colour))
    seen = take_views(image, how, views)
    plain = prepare(image, how)
    assert seen.dtype == "u1"
    assert seen.shape == (VIEW_COUNTS[views], *plain.shape)
    if views != "ten_crop":
        np.testing.assert_array_equal(seen[0], plain)
    if views != "single":
        half = len(seen) // 2
        np.testing.assert_array_equal(seen[half:], seen[:half, :, ::-1])


@given(height=sides, width=sides, image_height=sides, image_width=sides)
def test_crops_are_cut_of_the_image_at_eight_sevenths_rounded_up(
    height: int, width: int, image_height: int, image_width: int
) -> None:
    image = Image.fromarray(noise(image_height, image_width))
    larger = card(int(np.ceil(height * 8 / 7)), int(np.ceil(width * 8 / 7)))
    wanted = list(corners(prepare(image, larger), height, width))
    np.testing.assert_array_equal(take_views(image, card(height, width), "ten_crop")[:5], wanted)
