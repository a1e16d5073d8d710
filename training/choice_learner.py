"""Training a network whose every answer is one of several choices: classes, words, languages."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from training.craft.recipe import Recipe
from training.learner import Batch, Learner, Meters
from training.sanity import EXAMPLES, IMAGES, Check, gradients, initial_loss, over_fits, without_dropout


class ChoiceMeters(Meters):
    """Mean loss and accuracy, exact over unequal batches and several processes."""

    def __init__(self, choices: int) -> None:
        super().__init__()
        # A loss that is NaN must not be left out of the mean.
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(choices, average="micro", validate_args=False)

    def add(self, *batch: Tensor) -> None:
        """Add the mean loss () of a batch, its logits (B, choices) and its labels (B,)."""
        loss, logits, labels = batch
        # One value per row: with "disable", torchmetrics 1.9 ignores the weights it is given.
        self.loss.update(loss.detach().expand(len(labels)))
        self.accuracy.update(logits.detach(), labels)


class ChoiceLearner(Learner):
    """A `Learner` whose answers each choose from so many ``choices``; its losses are cross-entropies in nats.

    ``meters`` are by default those of loss and accuracy. ``over_fitted`` is the share of a guess's loss that the sanity
    check expects a few examples to come to.
    """

    over_fitted: ClassVar[float] = 0.1
    training_meters: ChoiceMeters
    validation_meters: ChoiceMeters

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        choices: int,
        pixels: tuple[tuple[float, ...], tuple[float, ...]],
        description: Mapping[str, Any],
        meters: Callable[[], ChoiceMeters] | None = None,
    ) -> None:
        super().__init__(model, recipe, meters or (lambda: ChoiceMeters(choices)), pixels, description)
        self.choices = choices

    @property
    def guess(self) -> float:
        """Log C, the cross-entropy of the same probability for each of C choices."""
        return math.log(self.choices)

    @property
    def starts_trained(self) -> bool:
        """Whether the layers that score the choices, too, start from trained weights."""
        return self.settings.transfer is not None and not self.fresh

    def checks(self, some: Callable[[int], Batch]) -> Iterator[Check]:
        """The first loss is near log C, every trained weight has a gradient, and a few examples can be over-fitted.

        With trained heads the first loss may be any.
        """
        network = without_dropout(self.model)
        with torch.no_grad():
            # In training mode, because batch norm has no running averages yet.
            measured = float(self.losses(network, some(IMAGES))[0])
        yield initial_loss(measured, self.guess, "log C", trained=self.starts_trained)
        few = some(EXAMPLES)
        yield gradients(network, self.losses(network, few))
        yield over_fits(network, lambda: self.losses(network, few), self.over_fitted * self.guess, len(few[0]))
