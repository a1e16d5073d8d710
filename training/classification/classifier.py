"""Trains a classifier on Lightning: loss, auxiliary heads, and full-batch optimisers."""

from collections.abc import Collection, Iterable
from itertools import count
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.classification.googlenet import Heads
from models.classification.neighbours import NearestNeighbours
from models.layers.pixels import unit
from training.choice_learner import ChoiceLearner
from training.classification.recipe import ClassifierRecipe
from training.craft.augmentation import augment
from training.craft.loss import Loss, cost, loss, predict
from training.craft.noise import perturbed
from training.craft.penalty import penalty
from training.craft.second_order import Objective
from training.data import Source
from training.errors import RecipeError

# The weight of each auxiliary head's loss (arXiv:1409.4842, section 5).
AUXILIARY_WEIGHT = 0.3

Batch = tuple[Tensor, Tensor]


class Classifier(ChoiceLearner):
    """A model, its recipe, and the loss between its logits and the labels (I2DL VII.1).

    Batches are uint8 images (B, H, W) or (B, H, W, 3) and classes (B,).
    """

    def __init__(self, model: nn.Module, recipe: ClassifierRecipe, source: Source, description: dict[str, Any]) -> None:
        super().__init__(model, recipe, len(source.labels), (source.mean, source.std), description)
        self.recipe, self.labels = recipe, source.labels
        self.automatic_optimization &= not recipe.optimiser.full_batch

    @property
    def fresh(self) -> Collection[str]:
        """See `Learner`."""
        transfer = self.recipe.transfer
        return transfer.heads(self.model) if transfer else ()

    def losses(self, network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
        """The mean cross-entropy of each head: each must learn."""
        images, labels = batch
        return tuple(cross_entropy(logits, labels) for logits in heads(network(self.prepare(images))))

    def solve(self, batches: Iterable[Batch]) -> None:
        """Store the examples, if the model is nearest neighbours; one whose weights are all frozen stays as it is.

        Raises:
            RecipeError: the model is made for another number of examples.
        """
        if not isinstance(self.model, NearestNeighbours):
            return
        images, labels = zip(*((self.prepare(images), labels) for images, labels in batches), strict=True)
        try:
            self.model.remember(torch.cat(images), torch.cat(labels))
        except ValueError as error:
            raise RecipeError(f"recipe {self.recipe.name!r}, config.rows: {error}") from error

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise uint8 images for the network."""
        return self.normalised(unit(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a distorted batch; a full-batch optimiser also takes its step here."""
        seed = self.draw()
        images = self.normalised(augment(unit(batch[0]), self.recipe.augmentation, seed))  # (B, C, H, W)
        if self.automatic_optimization:
            return self._objective(images, batch[1], seed, log=True).value
        return self._step(images, batch[1], seed)

    def _step(self, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        """Take a full-batch optimiser's step, which may evaluate the objective several times; the first is logged."""
        looks = count()
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return torch.as_tensor(optimizer.step(lambda: self._objective(images, labels, seed, log=next(looks) == 0)))

    def _objective(self, images: Tensor, labels: Tensor, seed: int, *, log: bool) -> Objective:
        """The recipe's objective: the loss of the logits, plus auxiliary losses and penalties."""
        recipe = self.recipe
        # The network's own draws, such as dropout's masks, get a negative seed, unlike that of the distortions.
        torch.manual_seed(-1 - seed)
        logits, *auxiliary = heads(perturbed(self.model, images, recipe.noise))  # (B, classes) each
        predictions = predict(recipe.loss, logits)
        if log:
            self.measure("train", cost(recipe.loss, predictions, labels), logits, labels)
        added = [AUXILIARY_WEIGHT * loss(recipe.loss, other, labels) for other in auxiliary]
        return Objective(
            predictions,
            lambda predictions: cost(recipe.loss, predictions, labels),
            sum(added, start=penalty(self.model, recipe.penalty)),
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the cross-entropy and accuracy of images without distortions."""
        images, labels = batch
        logits, *_ = heads(self.model(self.prepare(images)))
        self.measure("validation", loss(Loss(), logits, labels), logits, labels)


def heads(answer: Tensor | Heads) -> tuple[Tensor, ...]:
    """The logits (B, classes) of a network's ``answer``, and those of its auxiliary heads, if any, after them."""
    return (answer.logits, *answer.auxiliary) if isinstance(answer, Heads) else (answer,)
