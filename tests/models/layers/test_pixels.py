"""From bytes to what networks take."""

import pytest
import torch

from models.layers.pixels import normalise, unit


@pytest.mark.parametrize(("shape", "wanted"), [((2, 4, 5), (2, 1, 4, 5)), ((2, 4, 5, 3), (2, 3, 4, 5))])
def test_bytes_become_channels_between_zero_and_one(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    images = torch.randint(256, shape, dtype=torch.uint8)
    found = unit(images)
    assert found.shape == wanted
    assert found.dtype == torch.float32
    assert found[1, -1, 3, 2] == images.reshape(2, 4, 5, -1)[1, 3, 2, -1] / 255


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    found = normalise(torch.tensor([0.5, 0.75]).reshape(1, 2, 1, 1), (0.25, 0.5), (0.5, 0.125))
    assert found.flatten().tolist() == [0.5, 2.0]
