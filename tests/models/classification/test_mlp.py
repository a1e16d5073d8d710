import pytest
import torch
from torch import nn

from models.classification.mlp import MLP, rectified_layer


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
    layer = rectified_layer(800, 500)
    assert layer.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.02)
    assert not layer.bias.any()
