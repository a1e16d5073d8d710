import pytest
import torch
from torch import nn

from models.layers.normalisation import build_normalisation

# What shares one mean and deviation, in maps (B, C, H, W) seen as (B, groups, C / groups, H, W).
SHARED = {"batch": (0, 3, 4), "layer": (1, 2, 3, 4), "instance": (3, 4), "group": (2, 3, 4)}
GROUPS = {"batch": 1, "layer": 1, "instance": 1, "group": 2}


@pytest.mark.parametrize("name", SHARED)
def test_what_shares_a_mean_and_a_deviation_loses_both(name: str) -> None:
    x = 3 + 2 * torch.randn(4, 32, 5, 5, generator=torch.Generator().manual_seed(0))
    x[0] += 7
    x[:, 3] *= 5
    grouped = x.reshape(4, GROUPS[name], -1, 5, 5)  # (4, 32, 5, 5) -> (4, groups, 32 / groups, 5, 5)
    variance, mean = torch.var_mean(grouped, SHARED[name], correction=0, keepdim=True)
    wanted = ((grouped - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)  # (4, 32, 5, 5)
    torch.testing.assert_close(build_normalisation(name, 32)(x), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("channels", "groups"), [(16, 1), (64, 4), (728, 91), (24, 3), (6, 3)])
def test_a_group_has_16_channels_or_the_most_that_divide_them(channels: int, groups: int) -> None:
    layer = build_normalisation("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


@pytest.mark.parametrize("name", ["layer", "instance", "group"])
def test_a_row_is_normalised_by_itself(name: str) -> None:
    layer, x = build_normalisation(name, 32), torch.randn(4, 32, 3, 3)
    torch.testing.assert_close(layer(x)[2:3], layer(x[2:3]))


def test_none_leaves_the_maps_as_they_are() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(build_normalisation("none", 3)(x), x)
