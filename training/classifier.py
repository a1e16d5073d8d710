"""Training a classifier on Lightning: loss, optimiser, schedule, and what a checkpoint says of itself."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from models.classification.googlenet import Heads
from training.augmentation import augment
from training.data import Source
from training.graph import normalise, unit
from training.history import History
from training.loss import Loss, cost, loss, predict
from training.noise import perturbed
from training.optimiser import build_optimizer
from training.penalty import penalty
from training.recipe import Recipe
from training.schedule import rate
from training.second_order import Objective
from training.transfer import slow_down

DESCRIPTION = "lectorium"
# More than the steps of any run, so that no two runs of other seeds share the draws of a step.
SEED_STRIDE = 1 << 31
# And more than the steps of any run of several processes, so that no two of them share the draws of a step.
RANK_STRIDE = 1 << 23
# Of each auxiliary head's loss (arXiv:1409.4842, section 5).
AUXILIARY_WEIGHT = 0.3

Batch = tuple[Tensor, Tensor]


class Meters(nn.Module):
    """Mean loss and accuracy, exact over unequal batches and several processes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        # A loss that is no number must not be left out of the mean.
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False)

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add the mean ``loss`` of a batch of logits (B, classes) and labels (B,)."""
        # A value a row: with "disable", torchmetrics 1.9 forgets the weights it is given.
        self.loss.update(loss.detach().expand(len(labels)))
        self.accuracy.update(logits.detach(), labels)


class Classifier(pl.LightningModule):
    """A model, its recipe, and the loss between its logits and the labels (I2DL VII.1).

    Batches are uint8 images (B, H, W) or (B, H, W, 3) and classes (B,). Every checkpoint carries ``description`` and
    its time.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, source: Source, description: dict[str, Any]) -> None:
        super().__init__()
        # The order in which convolutions are quickest on most devices; to all else it is only another stride.
        self.model: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.labels = recipe, source.labels
        self.pixel_mean, self.pixel_std = source.mean, source.std
        self.description = description
        # Whoever keeps the epochs' losses puts it here; a plateau looks at them.
        self.history: History | None = None
        self.automatic_optimization = not recipe.optimiser.full_batch
        self.training_meters, self.validation_meters = Meters(len(self.labels)), Meters(len(self.labels))

    def prepare(self, images: Tensor) -> Tensor:
        """Images of uint8 as the network takes them."""
        return self._normalised(unit(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a distorted batch; an optimiser of the full batch has taken its step with it.

        The draws depend on the seed, the step and the process alone, so a resumed run goes on as an unbroken one.
        """
        seed = self.recipe.seed * SEED_STRIDE + self.global_rank * RANK_STRIDE + self.global_step
        images = self._normalised(augment(unit(batch[0]), self.recipe.augmentation, seed))  # (B, C, H, W)
        if self.automatic_optimization:
            return self._objective(images, batch[1], seed, log=True).value
        return self._step(images, batch[1], seed)

    def _step(self, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        """Let the optimiser look at the objective as often as it wants; first at the weights as they are."""
        looks = count()
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(scheduler, LRScheduler)
        value = optimizer.step(lambda: self._objective(images, labels, seed, log=next(looks) == 0))
        scheduler.step()
        return torch.as_tensor(value)

    def _objective(self, images: Tensor, labels: Tensor, seed: int, *, log: bool) -> Objective:
        """What the recipe minimises: the loss of the logits, and what is added to it."""
        recipe = self.recipe
        # What the network itself draws, such as dropout's masks; negative: apart from the distortions'.
        torch.manual_seed(-1 - seed)
        logits, *auxiliary = heads(perturbed(self.model, images, recipe.noise))  # (B, classes) each
        predictions = predict(recipe.loss, logits)
        if log:
            self._log("train", self.training_meters, cost(recipe.loss, predictions, labels), logits, labels)
        added = [AUXILIARY_WEIGHT * loss(recipe.loss, other, labels) for other in auxiliary]
        return Objective(
            predictions,
            lambda predictions: cost(recipe.loss, predictions, labels),
            sum(added, start=penalty(self.model, recipe.penalty)),
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Cross-entropy and accuracy of images as they are."""
        images, labels = batch
        logits, *_ = heads(self.model(self.prepare(images)))
        self._log("validation", self.validation_meters, loss(Loss(), logits, labels), logits, labels)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser, its learning rate set anew at every step."""
        optimizer = build_optimizer(self.model, self.recipe.optimiser)
        transfer = self.recipe.transfer
        if transfer and transfer.mode == "slow":
            slow_down(optimizer, self.model, transfer.heads(self.model), transfer.factor)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule, epochs = self.recipe.schedule, self.recipe.epochs

        def share(step: int) -> float:
            rows = self.history.rows if self.history else []
            return rate(schedule, step / steps * epochs, epochs, [row["validation_loss"] for row in rows])

        scheduler = LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description: plain strings, numbers and lists, so ``weights_only=True`` reads them."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        checkpoint[DESCRIPTION] = {**self.description, "created": now}

    @property
    def starts_trained(self) -> bool:
        """Whether the layers that score the classes come with weights that somebody trained."""
        return self.recipe.transfer is not None and not self.recipe.transfer.heads(self.model)

    def _normalised(self, images: Tensor) -> Tensor:
        images = normalise(images, self.pixel_mean, self.pixel_std)
        return images.contiguous(memory_format=torch.channels_last)

    def _log(self, stage: str, meters: Meters, value: Tensor, logits: Tensor, labels: Tensor) -> None:
        meters.update(value, logits, labels)
        values = {f"{stage}_loss": meters.loss, f"{stage}_accuracy": meters.accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, prog_bar=True, logger=False)


def heads(answer: Tensor | Heads) -> tuple[Tensor, ...]:
    """The logits (B, classes) of a network's ``answer``, and those of its auxiliary heads, if any, after them."""
    return (answer.logits, *answer.auxiliary) if isinstance(answer, Heads) else (answer,)
