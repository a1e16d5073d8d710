"""Upsampling by two (I2DL X.8; MP 6)."""

import pytest
import torch
from torch.nn.functional import interpolate, max_pool2d

from models.layers.upsampling import UPSAMPLINGS, BedOfNails, MaxUnpooling, Upsampling, bilinear_convolution


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_height_and_width_double_and_the_maps_become_those_asked_for(name: str) -> None:
    image = torch.randn(2, 5, 6, 8)
    pooled = max_pool2d(image, 2, return_indices=True)[1]
    assert Upsampling(name, 3, 5)(torch.randn(2, 3, 3, 4), pooled).shape == (2, 5, 6, 8)


def test_an_unknown_upsampling_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match="no upsampling 'cubic'; there are nearest, bed_of_nails, max_unpooling"):
        Upsampling("cubic", 1, 1)


def test_a_bed_of_nails_has_one_value_and_three_zeros_in_each_square() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert BedOfNails()(x)[0, 0].tolist() == expected


def test_max_unpooling_undoes_max_pooling_up_to_zeros() -> None:
    x = torch.rand(1, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    halved, places = max_pool2d(x, 2, return_indices=True)
    back = MaxUnpooling()(halved, places)
    assert torch.equal(back[back > 0], x[back > 0])
    assert torch.equal(max_pool2d(back, 2), halved)


@pytest.mark.parametrize("factor", [2, 8])
def test_a_bilinear_convolution_starts_as_interpolation(factor: int) -> None:
    x = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = interpolate(x, scale_factor=factor, mode="bilinear")
    inner = slice(factor, -factor)  # at the border the convolution adds zeros, where interpolation repeats
    torch.testing.assert_close(bilinear_convolution(3, factor)(x)[..., inner, inner], expected[..., inner, inner])
