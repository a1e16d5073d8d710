"""Checks before every training that cost seconds and save hours (I2DL VI.3; deep learning's "first steps").

Which of them a network can pass is its learner's to say. They run on a copy of the network, with dropout off, and leave
the random state alone: the run is the same without them.
"""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Adam

from training.errors import SanityError

if TYPE_CHECKING:
    from training.start import Start

# Logits of deviation s cost s^2 / 2 nats more than log C; a new network, not yet confident of any class, has s < 1.
INITIAL_TOLERANCE = 0.5
IMAGES = 64
# Every family of this project, whatever its depth, is below the bound after a third of the steps.
EXAMPLES, STEPS, LEARNING_RATE = 4, 100, 1e-3
NAMED = 3

Losses = tuple[Tensor, ...]


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


def check(start: "Start") -> list[Check]:
    """The learner's own checks of the ``start`` of a run, on a few of its examples; none if it is solved.

    They do not change it.
    """
    if not start.learner.parts:
        return []
    with torch.random.fork_rng():
        return list(start.learner.checks(start.some))


def without_dropout(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose dropout is off."""
    network = copy.deepcopy(model)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return network


def initial_loss(
    measured: float,
    guess: float,
    name: str,
    *,
    tolerance: float = INITIAL_TOLERANCE,
    trained: bool = False,
    advice: str = "the last layer starts too large, or the images are not normalised",
) -> Check:
    """Whether the ``measured`` first loss is within ``tolerance`` of that of a ``guess``, called ``name``.

    The first loss of ``trained`` heads may be any.
    """
    passed = trained or abs(measured - guess) <= tolerance
    words = f"the first loss is {measured:.3f}; guessing costs {name} = {guess:.3f}"
    if trained:
        words += "; the heads are trained already"
    elif not passed:
        words += f": {advice}"
    return Check("initial loss", passed, measured, guess, words)


def gradients(network: nn.Module, losses: Losses) -> Check:
    """Whether the sum of ``losses`` has a gradient for every trained weight of ``network``."""
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    torch.autograd.backward(torch.stack(losses).sum())
    without = [name for name, weight in trained.items() if not _flows(weight.grad)]
    reached = len(trained) - len(without)
    words = f"a gradient reaches {reached} of {len(trained)} weight tensors"
    if without:
        words += f", but not {', '.join(without[:NAMED])}{', ...' if len(without) > NAMED else ''}"
    return Check("gradients", not without, reached, len(trained), words)


def _flows(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())


def over_fits(network: nn.Module, losses: Callable[[], Losses], wanted: float, examples: int) -> Check:
    """Whether ``network`` learns so many ``examples`` by heart: the first of their ``losses`` falls below ``wanted``.

    All of the losses are descended, so that every head learns.
    """
    optimizer = Adam([weight for weight in network.parameters() if weight.requires_grad], LEARNING_RATE)
    for step in range(STEPS + 1):
        with torch.no_grad():
            measured = float(losses()[0])
        if measured < wanted or step == STEPS:
            break
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(losses()).sum())
        optimizer.step()
    passed = measured < wanted
    words = f"after {step} steps on {examples} examples their loss is {measured:.3f}; it should be below {wanted:.3f}"
    if not passed:
        words += ": a network that cannot over-fit a few examples cannot learn from many"
    return Check("over-fit one batch", passed, measured, wanted, words)


def write(checks: Sequence[Check], path: Path) -> None:
    """Write ``checks`` to the file ``path`` as JSON."""
    path.write_text(json.dumps([asdict(each) for each in checks], indent=2) + "\n", "utf-8")


def insist(checks: Sequence[Check]) -> None:
    """Raise SanityError if a check failed."""
    if failed := [each.words for each in checks if not each.passed]:
        raise SanityError(f"sanity checks: {'; '.join(failed)}")
