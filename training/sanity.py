"""Checks before every training that cost seconds and save hours (I2DL VI.3; deep learning's "first steps").

They run on a copy of the network, with dropout off, and leave the random state alone: the run is the same without them.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam

from training.errors import SanityError
from training.learner import Batch, Learner
from training.start import Start

# Logits of deviation s cost s^2 / 2 nats more than log C; a new network, not yet confident of any class, has s < 1.
INITIAL_TOLERANCE = 0.5
IMAGES = 64
# Every family of this project, whatever its depth, is below the bound after a third of the steps.
EXAMPLES, STEPS, LEARNING_RATE = 4, 100, 1e-3
NAMED = 3


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it passed, the value measured, the value expected, and a sentence about both."""

    name: str
    passed: bool
    measured: float
    wanted: float
    words: str

    def __str__(self) -> str:
        return f"{'ok' if self.passed else 'WARNING'}: {self.words}"


def check(start: Start) -> list[Check]:
    """Check the ``start`` of a run on a few of its examples, without changing it.

    Every trained weight should have a gradient. Where the learner knows the loss of a guess (log C for C classes), the
    first loss should also be near it, and the network should over-fit a few examples. The loss is the learner's plain
    one, whatever the recipe's. With trained heads the first loss may be any.
    """
    if not any(weight.requires_grad for weight in start.learner.model.parameters()):
        return []
    with torch.random.fork_rng():
        return list(_checks(start))


def _checks(start: Start) -> Iterator[Check]:
    learner = start.learner
    network = copy.deepcopy(learner.model)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    guess = learner.guess
    if guess is not None:
        with torch.no_grad():
            # In training mode, because batch norm has no running averages yet.
            measured = float(learner.losses(network, start.some(IMAGES))[0])
        yield _initial_loss(measured, guess, trained=learner.starts_trained)
    few = start.some(EXAMPLES)
    yield _gradients(learner, network, few)
    if guess is not None:
        yield _over_fits(learner, network, few, learner.over_fitted * guess)


def _initial_loss(measured: float, wanted: float, *, trained: bool) -> Check:
    passed = trained or abs(measured - wanted) <= INITIAL_TOLERANCE
    words = f"the first loss is {measured:.3f}; guessing costs log C = {wanted:.3f}"
    if trained:
        words += "; the heads are trained already"
    elif not passed:
        words += ": the last layer starts too large, or the images are not normalised"
    return Check("initial loss", passed, measured, wanted, words)


def _gradients(learner: Learner, network: nn.Module, few: Batch) -> Check:
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    torch.autograd.backward(_loss(learner, network, few))
    without = [name for name, weight in trained.items() if not _flows(weight.grad)]
    reached = len(trained) - len(without)
    words = f"a gradient reaches {reached} of {len(trained)} weight tensors"
    if without:
        words += f", but not {', '.join(without[:NAMED])}{', ...' if len(without) > NAMED else ''}"
    return Check("gradients", not without, reached, len(trained), words)


def _flows(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())


def _over_fits(learner: Learner, network: nn.Module, few: Batch, wanted: float) -> Check:
    optimizer = Adam([weight for weight in network.parameters() if weight.requires_grad], LEARNING_RATE)
    for step in range(STEPS + 1):
        with torch.no_grad():
            measured = float(learner.losses(network, few)[0])
        if measured < wanted or step == STEPS:
            break
        optimizer.zero_grad()
        torch.autograd.backward(_loss(learner, network, few))
        optimizer.step()
    passed = measured < wanted
    words = (
        f"after {step} steps on {len(few[0])} examples their loss is {measured:.3f}; it should be below {wanted:.3f}"
    )
    if not passed:
        words += ": a network that cannot over-fit a few examples cannot learn from many"
    return Check("over-fit one batch", passed, measured, wanted, words)


def _loss(learner: Learner, network: nn.Module, batch: Batch) -> Tensor:
    """The sum of the losses of all heads: each must learn."""
    return torch.stack(learner.losses(network, batch)).sum()


def write(checks: Sequence[Check], path: Path) -> None:
    """Write ``checks`` to the file ``path`` as JSON."""
    path.write_text(json.dumps([asdict(each) for each in checks], indent=2) + "\n", "utf-8")


def insist(checks: Sequence[Check]) -> None:
    """Raise SanityError if a check failed."""
    if failed := [each.words for each in checks if not each.passed]:
        raise SanityError(f"sanity checks: {'; '.join(failed)}")
