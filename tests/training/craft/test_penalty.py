import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models.classification.rows import build
from training.craft.penalty import Penalty, penalised, penalty


def matrices(model: nn.Module) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return [value.detach().numpy() for value in model.parameters() if value.ndim > 1]


@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0), (0, 0.02), (0.01, 0.02)])
def test_a_penalty_is_the_norm_of_the_matrices(l1: float, l2: float) -> None:
    model = build("mlp", {"hidden": (16,)})
    wanted = sum(l1 * abs(value).sum() + l2 / 2 * (value**2).sum() for value in matrices(model))
    assert float(penalty(model, Penalty(l1=l1, l2=l2)).detach()) == pytest.approx(float(wanted), rel=1e-5)


def test_nothing_asked_costs_nothing() -> None:
    assert penalty(build("softmax"), Penalty()) == 0


def test_its_slope_shrinks_the_weights_evenly_or_in_proportion_and_leaves_biases() -> None:
    model = build("softmax")
    torch.autograd.backward(penalty(model, Penalty(l1=0.1, l2=0.3)))
    weight = model.get_parameter("scores.weight")
    torch.testing.assert_close(weight.grad, 0.1 * weight.detach().sign() + 0.3 * weight.detach())
    assert model.get_parameter("scores.bias").grad is None


def test_vectors_and_frozen_weights_are_free() -> None:
    model = build("resnet20")
    assert all(weight.ndim > 1 for weight in penalised(model))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.get_parameter("fc.weight").requires_grad_(True)
    assert [weight.shape for weight in penalised(model)] == [(10, 64)]


def test_an_l1_penalty_makes_weights_nothing_that_an_l2_penalty_makes_small() -> None:
    # min (w - 0.3)^2 / 2 + |w| / 2 lies at 0, with w^2 / 2 at 0.15.
    found = {}
    for name, price in (("l1", Penalty(l1=0.5)), ("l2", Penalty(l2=1.0))):
        model = nn.Linear(1, 1, bias=False)
        for _ in range(300):
            value = ((model.weight - 0.3) ** 2 / 2).sum() + penalty(model, price)
            (slope,) = torch.autograd.grad(value, model.weight)
            with torch.no_grad():
                model.weight -= 0.01 * slope
        found[name] = float(model.weight.detach())
    assert found["l1"] == pytest.approx(0, abs=0.01)
    assert found["l2"] == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("values", [{"l1": -0.1}, {"l2": -0.1}, {"l3": 0.1}])
def test_a_penalty_that_means_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        Penalty.model_validate(values)
