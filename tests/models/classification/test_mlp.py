import pytest
import torch
from torch import nn

from models.classification.mlp import MLP
from models.layers.activation import ACTIVATIONS


@pytest.mark.parametrize("hidden", [(), (5,), (300, 100), (16, 16, 16, 16)])
def test_widths_and_depth_are_those_of_the_configuration(hidden: tuple[int, ...]) -> None:
    model = MLP(hidden=hidden)
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in linear] == [*hidden, 10]
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_hidden_units_are_rectified() -> None:
    model = MLP(inputs=4, hidden=(2,), classes=2)
    x = torch.tensor([[[[1.0, -2.0], [0.5, 3.0]]]])
    first, scores = model.layers[0], model.scores
    torch.testing.assert_close(model(x), scores(first(x.flatten(1)).clamp(min=0)))


def test_a_layer_starts_with_the_variance_of_he_et_al() -> None:
    torch.manual_seed(0)
    layer = MLP(inputs=800, hidden=(500,)).layers[0]
    assert isinstance(layer, nn.Linear)
    assert layer.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.02)
    assert not layer.bias.any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_activation_at_any_depth(activation: str) -> None:
    model = MLP(inputs=4, hidden=(6, 5, 3), classes=2, activation=activation)
    assert model(torch.randn(2, 1, 2, 2)).shape == (2, 2)
    assert sum(isinstance(m, type(ACTIVATIONS[activation]())) for m in model.modules()) == 3


def test_dropout_acts_in_training_only() -> None:
    model, x = MLP(dropout=0.5, initialisation="torch"), torch.randn(2, 1, 28, 28)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
