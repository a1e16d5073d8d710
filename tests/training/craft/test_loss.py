"""The losses against the lecture's formulas, written out (I2DL VII.1)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.craft.loss import Loss, cost, loss, predict

Values = npt.NDArray[np.float64]
NAMES = ("cross_entropy", "bce", "hinge", "l1", "l2")
every_name = pytest.mark.parametrize("name", NAMES)


def one_hot(labels: list[int], classes: int) -> Values:
    return np.asarray(np.eye(classes)[labels])


def softmax(scores: Values) -> Values:
    return np.asarray(np.exp(scores) / np.exp(scores).sum(1, keepdims=True))


def sigmoid(scores: Values) -> Values:
    return 1 / (1 + np.exp(-scores))


def yes_or_no(p: Values, targets: Values) -> Values:
    return -targets * np.log(p) - (1 - targets) * np.log(1 - p)


def hinge(scores: Values, labels: list[int]) -> float:
    pairs = zip(scores, labels, strict=True)
    return float(np.mean([sum(max(0, s - row[y] + 1) for k, s in enumerate(row) if k != y) for row, y in pairs]))


MANY: dict[str, Callable[[Values, Values], Values]] = {
    "cross_entropy": lambda scores, targets: -(targets * np.log(softmax(scores))),
    "bce": lambda scores, targets: yes_or_no(sigmoid(scores), targets),
    "l1": lambda scores, targets: abs(targets - softmax(scores)),
    "l2": lambda scores, targets: (targets - softmax(scores)) ** 2,
}
ONE: dict[str, Callable[[Values, Values], Values]] = {
    "cross_entropy": lambda score, target: yes_or_no(sigmoid(score), target),
    "bce": lambda score, target: yes_or_no(sigmoid(score), target),
    "l1": lambda score, target: abs(target - sigmoid(score)),
    "l2": lambda score, target: (target - sigmoid(score)) ** 2,
}

scores = st.floats(-8, 8)
smoothing = st.floats(0, 0.9)


@pytest.mark.parametrize("name", MANY)
@given(rows=st.lists(st.tuples(scores, scores, scores, st.integers(0, 2)), min_size=1, max_size=6), share=smoothing)
def test_a_loss_of_many_logits_is_its_formula(
    name: str, rows: list[tuple[float, float, float, int]], share: float
) -> None:
    logits, labels = np.array([row[:3] for row in rows]), [row[3] for row in rows]
    targets = (1 - share) * one_hot(labels, 3) + share / 3
    found = loss(
        Loss.model_validate({"name": name, "label_smoothing": share}), torch.from_numpy(logits), torch.tensor(labels)
    )
    assert float(found) == pytest.approx(MANY[name](logits, targets).sum(1).mean(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ONE)
@given(rows=st.lists(st.tuples(scores, st.integers(0, 1)), min_size=1, max_size=6), share=smoothing)
def test_a_loss_of_one_logit_is_its_formula(name: str, rows: list[tuple[float, int]], share: float) -> None:
    logits, labels = np.array([[score] for score, _ in rows]), [label for _, label in rows]
    targets = (1 - share) * np.array(labels)[:, None] + share / 2
    found = loss(
        Loss.model_validate({"name": name, "label_smoothing": share}), torch.from_numpy(logits), torch.tensor(labels)
    )
    assert float(found) == pytest.approx(ONE[name](logits, targets).mean(), rel=1e-6, abs=1e-9)


@given(rows=st.lists(st.tuples(scores, scores, scores, st.integers(0, 2)), min_size=1, max_size=6))
def test_the_hinge_wants_the_right_score_above_every_other_by_1(rows: list[tuple[float, float, float, int]]) -> None:
    logits, labels = np.array([row[:3] for row in rows]), [row[3] for row in rows]
    found = loss(Loss(name="hinge"), torch.from_numpy(logits), torch.tensor(labels))
    assert float(found) == pytest.approx(hinge(logits, labels), abs=1e-9)


def test_the_hinge_of_one_logit_wants_it_beyond_1_on_its_side() -> None:
    logits = torch.tensor([[2.0], [0.5], [0.5], [-3.0]])
    assert float(loss(Loss(name="hinge"), logits, torch.tensor([1, 1, 0, 0]))) == pytest.approx((0 + 0.5 + 1.5 + 0) / 4)


def test_the_hinge_is_content_where_the_cross_entropy_wants_more() -> None:
    good, better, labels = torch.tensor([[5.0, 0.0]]), torch.tensor([[9.0, 0.0]]), torch.tensor([0])
    assert loss(Loss(name="hinge"), good, labels) == loss(Loss(name="hinge"), better, labels) == 0
    assert loss(Loss(), good, labels) > loss(Loss(), better, labels) > 0


def test_one_logit_costs_as_two_of_which_the_other_is_0() -> None:
    logits, labels = torch.randn(9, 1), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    two = torch.cat([torch.zeros(9, 1), logits], dim=1)
    torch.testing.assert_close(loss(Loss(), logits, labels), loss(Loss(), two, labels))


@every_name
def test_the_loss_is_the_cost_of_what_it_predicts_and_the_cost_is_convex(name: str) -> None:
    how = Loss.model_validate({"name": name})
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 40, 5, generator=generator), torch.randint(5, (40,), generator=generator)
    one, other = (predict(how, each) for each in logits)
    assert torch.equal(loss(how, logits[0], labels), cost(how, one, labels))
    between = cost(how, (one + other) / 2, labels)
    assert between <= (cost(how, one, labels) + cost(how, other, labels)) / 2 + 1e-6


@every_name
@pytest.mark.parametrize("classes", [1, 5])
def test_half_precision_is_added_up_in_single(name: str, classes: int) -> None:
    how = Loss.model_validate({"name": name})
    logits = torch.randn(300, classes, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(300) % max(classes, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(how, logits, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(how, logits.float(), labels))


@every_name
def test_training_by_each_loss_alone_tells_the_classes_apart(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    inputs = torch.eye(3)[labels] + 0.3 * torch.randn(90, 3, generator=generator)
    weights = torch.zeros(3, 3, requires_grad=True)
    for _ in range(60):
        (slope,) = torch.autograd.grad(loss(Loss.model_validate({"name": name}), inputs @ weights, labels), weights)
        weights = (weights - slope).detach().requires_grad_()
    assert ((inputs @ weights).argmax(1) == labels).float().mean() > 0.95


def test_the_hinge_has_no_smoothing() -> None:
    with pytest.raises(ValidationError, match="hinge compares scores"):
        Loss(name="hinge", label_smoothing=0.1)
