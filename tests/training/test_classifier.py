import pytest
import torch

from models.registry import build
from training.classifier import build_optimizer, rate
from training.recipe import Optimiser, Schedule


def test_the_cosine_starts_full_is_half_in_the_middle_and_ends_at_zero() -> None:
    schedule = Schedule(name="cosine")
    assert [rate(schedule, epoch, 10) for epoch in (0, 5, 10)] == pytest.approx([1, 0.5, 0])


def test_the_warmup_rises_in_a_line() -> None:
    schedule = Schedule(name="cosine", warmup=2)
    assert [rate(schedule, epoch, 10) for epoch in (0.5, 1, 1.5, 2)] == pytest.approx([0.25, 0.5, 0.75, 1])


def test_the_first_step_of_a_warmup_does_something() -> None:
    assert rate(Schedule(warmup=1), 0, 10) > 0


def test_a_constant_rate_stays() -> None:
    assert {rate(Schedule(name="constant"), epoch, 10) for epoch in (0, 3, 10)} == {1.0}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_spares_the_biases(name: str) -> None:
    how = Optimiser.model_validate({"name": name, "learning_rate": 0.1, "weight_decay": 0.3})
    optimizer = build_optimizer(build("mlp"), how)
    for group in optimizer.param_groups:
        dimensions = {p.ndim for p in group["params"]}
        assert dimensions == ({2} if group["weight_decay"] == 0.3 else {1})
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


def test_every_parameter_moves_in_a_step() -> None:
    model = build("lenet5")
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = build_optimizer(model, Optimiser(name="sgd", learning_rate=0.1))
    torch.autograd.backward(model(torch.ones(1, 1, 28, 28))[0, 3])
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before[:-1], model.parameters(), strict=False))
