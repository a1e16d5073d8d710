import math

import pytest
import torch
from torch import Tensor

from models.layers.activation import ACTIVATIONS, Maxout, build_activation, pieces


# The lectures' formulas at -2 and 3.
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", 1 / (1 + math.e**2), 1 / (1 + math.e**-3)),
        ("tanh", math.tanh(-2), math.tanh(3)),
        ("scaled_tanh", 1.7159 * math.tanh(-4 / 3), 1.7159 * math.tanh(2)),
        ("hard_tanh", -1.0, 1.0),
        ("relu", 0.0, 3.0),
        ("leaky_relu", -0.02, 3.0),
        ("parametric_relu", -0.5, 3.0),
        ("elu", math.e**-2 - 1, 3.0),
        ("softplus", math.log(1 + math.e**-2), math.log(1 + math.e**3)),
        ("swish", -2 / (1 + math.e**2), 3 / (1 + math.e**-3)),
    ],
)
def test_values_are_those_of_the_formula(name: str, low: float, high: float) -> None:
    found = build_activation(name)(torch.tensor([[-2.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[low, high]]))
    assert pieces(name) == 1


def test_scaled_tanh_leaves_1_where_it_is() -> None:
    torch.testing.assert_close(build_activation("scaled_tanh")(torch.ones(1)), torch.ones(1), atol=1e-4, rtol=0)


def test_maxout_is_the_larger_of_two_linear_maps() -> None:
    weight, bias, x = torch.randn(6, 4), torch.randn(6), torch.randn(5, 4)
    both = x @ weight.T + bias  # (5, 6)
    wanted: Tensor = torch.maximum(x @ weight[:3].T + bias[:3], x @ weight[3:].T + bias[3:])  # (5, 3)
    torch.testing.assert_close(Maxout()(both), wanted)
    assert pieces("maxout") == 2


def test_the_slope_of_a_parametric_rectifier_is_trained() -> None:
    layer = build_activation("parametric_relu")
    torch.autograd.backward(layer(torch.tensor([-2.0])).sum())
    (slope,) = layer.parameters()
    assert slope.grad is not None
    assert slope.grad.item() == -2


def test_each_call_builds_its_own() -> None:
    assert all(build_activation(name) is not build_activation(name) for name in ACTIVATIONS)
