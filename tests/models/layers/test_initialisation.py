import pytest
import torch
from torch import nn

from models.layers.initialisation import initialise


class Network(nn.Module):
    """A convolution of 9 * 40 inputs a unit, one of each map by itself, a linear layer, and scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(40, 80, 3)
        self.depthwise = nn.Conv2d(80, 800, 3, groups=80)
        self.linear = nn.Linear(300, 200)
        self.scores = nn.Linear(200, 10)


@pytest.mark.parametrize(
    ("name", "layer", "variance"),
    [
        ("he", "convolution", 2 / (9 * 40)),
        ("he", "depthwise", 2 / 9),
        ("he", "linear", 2 / 300),
        ("xavier", "convolution", 2 / (9 * 40 + 9 * 80)),
        ("xavier", "linear", 2 / (300 + 200)),
    ],
)
def test_the_variance_of_the_weights_is_the_papers(name: str, layer: str, variance: float) -> None:
    network = Network()
    initialise(network, name, network.scores)
    assert network.get_parameter(f"{layer}.weight").var().item() == pytest.approx(variance, rel=0.05)
    assert not network.get_parameter(f"{layer}.bias").any()


@pytest.mark.parametrize("name", ["he", "xavier"])
def test_the_scores_start_near_0(name: str) -> None:
    network = Network()
    initialise(network, name, network.scores)
    assert 0 < network.scores.weight.abs().max() < 0.01
    assert not network.scores.bias.any()


def test_torchs_own_start_is_left_alone() -> None:
    network, untouched = Network(), Network()
    initialise(network, "torch", network.scores)
    for ours, theirs in zip(network.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(ours, theirs)
