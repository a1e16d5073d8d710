import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from tests.training.tiny import coloured, digits
from training.data import Bytes
from training.data.statistics import measure

grey = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
colour = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5).flatmap(lambda shape: hnp.arrays(np.uint8, (*shape, 3)))


@given(grey | colour)
def test_the_statistics_are_numpys_for_each_channel(images: Bytes) -> None:
    pixels = (images[..., None] if images.ndim == 3 else images) / 255
    found = measure(images)
    assert found.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=5.1e-5)
    assert found.std == pytest.approx(np.maximum(pixels.std((0, 1, 2)), 0.0039), abs=5.1e-5)


def test_many_images_are_measured_whole() -> None:
    images, _ = digits()
    many = np.concatenate([images] * 4)  # more than are taken at a time
    many[1024:] = 255
    assert measure(many).mean == (round(float(many.mean() / 255), 4),)


def test_the_order_of_images_has_no_say() -> None:
    images, _ = coloured()
    assert measure(images) == measure(images[::-1])


def test_images_without_contrast_are_not_divided_by_zero() -> None:
    found = measure(np.full((3, 4, 4, 3), 128, np.uint8))
    assert found.std == (0.0039,) * 3
