"""Checks before every training that cost seconds and save hours (I2DL VI.3; deep learning's "first steps").

They run on a copy of the network, with dropout off, and draw nothing: the run that follows is the same without them.
"""

import copy
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam

from training.classifier import Classifier, heads
from training.data import Split
from training.errors import SanityError

# Logits of deviation s cost s^2 / 2 nats more than log C; a network that is sure of nothing yet has s < 1.
INITIAL_TOLERANCE = 0.5
IMAGES = 64
# Every family of this project, whatever its depth, is below the bound after a third of the steps.
EXAMPLES, STEPS, LEARNING_RATE = 4, 100, 1e-3
OVER_FITTED = 0.1  # of log C
NAMED = 3


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it passed, what was measured and what was wanted of it, and a sentence on both."""

    name: str
    passed: bool
    measured: float
    wanted: float
    words: str

    def __str__(self) -> str:
        return f"{'ok' if self.passed else 'WARNING'}: {self.words}"


def check(classifier: Classifier, training: Split) -> list[Check]:
    """Check the start of ``classifier`` on a few examples of ``training``: nothing of it is changed.

    The first loss is near log C; every weight that is trained has a gradient; a few examples can be learnt by heart.
    The loss is the cross-entropy, whatever the recipe's. A network whose heads are trained may start anywhere.
    """
    if not any(weight.requires_grad for weight in classifier.model.parameters()):
        return []
    with torch.random.fork_rng():
        return list(_checks(classifier, training))


def _checks(classifier: Classifier, training: Split) -> Iterator[Check]:
    network = copy.deepcopy(classifier.model)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    images, labels = _some(classifier, training, IMAGES)
    with torch.no_grad():
        # In training mode: of averages that batch norm has not made yet, evaluation mode says nothing.
        yield _initial_loss(heads(network(images))[0], labels, classifier.starts_trained)
    images, labels = _some(classifier, training, EXAMPLES)
    yield _gradients(network, images, labels)
    yield _over_fits(network, images, labels, len(classifier.labels))


def _some(classifier: Classifier, training: Split, count: int) -> tuple[Tensor, Tensor]:
    """``count`` examples as the network takes them, of every class in turn, and their labels."""
    by_class = [(training.labels == label).nonzero()[0] for label in range(len(classifier.labels))]
    turns = range(max(map(len, by_class)))
    rows = [int(rows[turn]) for turn in turns for rows in by_class if turn < len(rows)][:count]
    images, labels = torch.from_numpy(training.images[rows]), torch.from_numpy(training.labels[rows])
    return classifier.prepare(images), labels


def _initial_loss(logits: Tensor, labels: Tensor, trained: bool) -> Check:
    measured, wanted = float(cross_entropy(logits, labels)), math.log(logits.shape[1])
    passed = trained or abs(measured - wanted) <= INITIAL_TOLERANCE
    words = f"the first loss is {measured:.3f}, and log C, of one who knows nothing, {wanted:.3f}"
    if trained:
        words += "; the heads are trained already"
    elif not passed:
        words += ": the last layer starts too large, or the images are not normalised"
    return Check("initial loss", passed, measured, wanted, words)


def _gradients(network: nn.Module, images: Tensor, labels: Tensor) -> Check:
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    torch.autograd.backward(_loss(network, images, labels))
    without = [name for name, weight in trained.items() if not _flows(weight.grad)]
    reached = len(trained) - len(without)
    words = f"a gradient reaches {reached} of {len(trained)} weight tensors"
    if without:
        words += f", but not {', '.join(without[:NAMED])}{', ...' if len(without) > NAMED else ''}"
    return Check("gradients", not without, reached, len(trained), words)


def _flows(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())


def _over_fits(network: nn.Module, images: Tensor, labels: Tensor, classes: int) -> Check:
    optimizer = Adam([weight for weight in network.parameters() if weight.requires_grad], LEARNING_RATE)
    wanted = OVER_FITTED * math.log(classes)
    for step in range(STEPS + 1):
        with torch.no_grad():
            measured = float(cross_entropy(heads(network(images))[0], labels))
        if measured < wanted or step == STEPS:
            break
        optimizer.zero_grad()
        torch.autograd.backward(_loss(network, images, labels))
        optimizer.step()
    passed = measured < wanted
    words = f"after {step} steps on {len(labels)} examples their loss is {measured:.3f}, wanted below {wanted:.3f}"
    if not passed:
        words += ": what cannot learn a few examples by heart learns nothing of many"
    return Check("over-fit one batch", passed, measured, wanted, words)


def _loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of all heads: each must learn."""
    return torch.stack([cross_entropy(logits, labels) for logits in heads(network(images))]).sum()


def write(checks: Sequence[Check], path: Path) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps([asdict(each) for each in checks], indent=2) + "\n", "utf-8")


def insist(checks: Sequence[Check]) -> None:
    """Raise SanityError where one of them failed."""
    if failed := [each.words for each in checks if not each.passed]:
        raise SanityError(f"sanity checks: {'; '.join(failed)}")
