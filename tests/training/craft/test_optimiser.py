"""The steps of each optimiser against the lecture's equations, written out (I2DL V.1; AdaGrad: DL 7.1)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models.classification.rows import build
from training.craft.optimiser import FULL_BATCH, KEYS, Optimiser, build_optimizer
from training.craft.penalty import Penalty, penalty
from training.errors import RecipeError

Values = npt.NDArray[np.float64]
STEPS, RATE = 5, 0.1
START: Values = np.array([[1.0, -2.0], [0.5, 3.0]])
# An ill-conditioned bowl, L = sum c theta^2 / 2 - theta, in which each value has a slope of its own.
CURVATURES: Values = np.array([[1.0, 4.0], [0.1, 9.0]])


def slope(theta: Values) -> Values:
    return CURVATURES * theta - 1


def loss(weight: torch.Tensor) -> torch.Tensor:
    return (torch.from_numpy(CURVATURES) * weight**2 / 2 - weight).sum()


class Bowl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(START.copy()))
        self.bias = nn.Parameter(torch.ones(3, dtype=torch.float64))


def steps(how: Optimiser, price: Penalty | None = None) -> list[Values]:
    """The weight after each step."""
    bowl = Bowl()
    optimizer = build_optimizer(bowl, how)
    found = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(loss(bowl.weight) + (penalty(bowl, price) if price else 0) + 0 * bowl.bias.sum())
        optimizer.step()
        found.append(bowl.weight.detach().numpy().copy())
    return found


def descent(state: dict[str, Any], theta: Values) -> Values:
    return theta - RATE * slope(theta)


def momentum(state: dict[str, Any], theta: Values) -> Values:
    state["v"] = 0.8 * state.get("v", 0) - RATE * slope(theta)
    return np.asarray(theta + state["v"])


def adagrad(state: dict[str, Any], theta: Values) -> Values:
    state["r"] = state.get("r", 0) + slope(theta) ** 2
    return np.asarray(theta - RATE * slope(theta) / (0.01 + np.sqrt(state["r"])))


def rmsprop(state: dict[str, Any], theta: Values) -> Values:
    state["s"] = 0.7 * state.get("s", 0) + 0.3 * slope(theta) ** 2
    return np.asarray(theta - RATE * slope(theta) / (np.sqrt(state["s"]) + 0.01))


def adam(state: dict[str, Any], theta: Values, gradient: Values | None = None) -> Values:
    gradient = slope(theta) if gradient is None else gradient
    state["k"] = state.get("k", 0) + 1
    state["m"] = 0.8 * state.get("m", 0) + 0.2 * gradient
    state["v"] = 0.95 * state.get("v", 0) + 0.05 * gradient**2
    mean, square = state["m"] / (1 - 0.8 ** state["k"]), state["v"] / (1 - 0.95 ** state["k"])
    return np.asarray(theta - RATE * mean / (np.sqrt(square) + 0.01))


def adam_with_l2(state: dict[str, Any], theta: Values) -> Values:
    return adam(state, theta, slope(theta) + 0.3 * theta)


def adamw(state: dict[str, Any], theta: Values) -> Values:
    return np.asarray(adam(state, theta) - RATE * 0.3 * theta)


BETAS: dict[str, Any] = {"beta1": 0.8, "beta2": 0.95, "epsilon": 0.01}
EQUATIONS: list[tuple[dict[str, Any], Callable[[dict[str, Any], Values], Values]]] = [
    ({"name": "sgd", "momentum": 0}, descent),
    ({"name": "sgd", "momentum": 0.8, "nesterov": False}, momentum),
    ({"name": "adagrad", "epsilon": 0.01}, adagrad),
    ({"name": "rmsprop", "decay": 0.7, "epsilon": 0.01}, rmsprop),
    ({"name": "adam", **BETAS}, adam),
    ({"name": "adam", "weight_decay": 0.3, **BETAS}, adam_with_l2),
    ({"name": "adamw", "weight_decay": 0.3, **BETAS}, adamw),
]


@pytest.mark.parametrize(("how", "equation"), EQUATIONS, ids=[equation.__name__ for _, equation in EQUATIONS])
def test_the_steps_are_the_lectures(how: dict[str, Any], equation: Callable[[dict[str, Any], Values], Values]) -> None:
    state: dict[str, Any] = {}
    theta = START
    for found in steps(Optimiser(learning_rate=RATE, **how)):
        theta = equation(state, theta)
        np.testing.assert_allclose(found, theta, rtol=1e-9)


def test_nesterovs_weights_are_the_lectures_where_it_looks_ahead() -> None:
    # torch holds the point that the lecture's equations look at: theta~ = theta + beta v, from the next step on.
    theta, v = START, np.zeros_like(START)
    for found in steps(Optimiser(name="sgd", learning_rate=RATE, momentum=0.8)):
        v = 0.8 * v - RATE * slope(theta + 0.8 * v)
        theta = theta + v
        np.testing.assert_allclose(found, theta + 0.8 * v, rtol=1e-9)


@pytest.mark.parametrize("how", [{"momentum": 0}, {"momentum": 0.8, "nesterov": False}, {"momentum": 0.8}])
def test_weight_decay_of_gradient_descent_is_an_l2_penalty(how: dict[str, Any]) -> None:
    decayed = steps(Optimiser(name="sgd", learning_rate=RATE, weight_decay=0.3, **how))
    priced = steps(Optimiser(name="sgd", learning_rate=RATE, **how), Penalty(l2=0.3))
    np.testing.assert_allclose(decayed, priced, rtol=1e-9)


def test_weight_decay_apart_from_the_gradient_is_no_l2_penalty() -> None:
    apart = steps(Optimiser(name="adamw", learning_rate=RATE, weight_decay=0.3))
    inside = steps(Optimiser(name="adam", learning_rate=RATE, weight_decay=0.3))
    assert abs(apart[-1] - inside[-1]).max() > 0.01


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_biases_do_not_decay(name: str) -> None:
    how = Optimiser.model_validate({"name": name, "learning_rate": 0.1, "weight_decay": 0.5})
    model = Bowl()
    optimizer = build_optimizer(model, how)
    torch.autograd.backward(0 * (model.weight.sum() + model.bias.sum()))
    optimizer.step()
    assert torch.equal(model.bias, torch.ones(3, dtype=torch.float64))
    assert (model.weight.detach().abs() < torch.from_numpy(abs(START))).all()


def test_a_recipe_from_before_there_were_others_means_what_it_meant() -> None:
    old = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    optimizer = build_optimizer(Bowl(), Optimiser.model_validate(old))
    assert isinstance(optimizer, torch.optim.SGD)
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in optimizer.param_groups)
    Optimiser.model_validate({**old, "name": "adamw"})  # its checkpoints say the momentum that it has not


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_the_optimiser_does_not_read_is_an_error_that_names_it(name: str) -> None:
    others = {"momentum": 0.5, "decay": 0.5, "beta1": 0.5, "weight_decay": 0.5, "damping": 0.5, "iterations": 3}
    for key, value in others.items():
        said = {"name": name, "learning_rate": 0.1, key: value}
        if key in KEYS[name]:  # type: ignore[index]
            Optimiser.model_validate(said)
        else:
            with pytest.raises(ValidationError, match=f"{name} has no {key}; it has {KEYS[name][0]}"):  # type: ignore[index]
                Optimiser.model_validate(said)


def test_every_key_is_read_by_some_optimiser() -> None:
    read = {key for keys in KEYS.values() for key in keys}
    assert read | {"name", "learning_rate"} == set(Optimiser.model_fields)


def test_only_the_four_that_need_them_all_take_the_full_batch() -> None:
    full = [name for name in KEYS if Optimiser(name=name, learning_rate=1).full_batch]
    assert full == ["lbfgs", "newton", "gauss_newton", "levenberg_marquardt"] == list(FULL_BATCH)


@pytest.mark.parametrize("name", ["newton", "gauss_newton", "levenberg_marquardt"])
def test_a_model_too_large_to_solve_for_is_refused(name: str) -> None:
    how = Optimiser.model_validate({"name": name, "learning_rate": 1})
    build_optimizer(build("softmax"), how)  # 7,850 weights
    with pytest.raises(RecipeError, match=rf"{name} trains at most 8,000 weights; the model has 235,146"):
        build_optimizer(build("mlp"), how)


def test_weights_that_are_frozen_do_not_count() -> None:
    model = build("mlp")
    model.requires_grad_(False)
    model.get_submodule("scores").requires_grad_(True)
    build_optimizer(model, Optimiser(name="newton", learning_rate=1))
