"""Training a classifier on Lightning: loss, optimiser, schedule, and what a checkpoint says of itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from training.augmentation import augment
from training.graph import normalise, unit
from training.loss import Loss, loss
from training.optimiser import build_optimizer
from training.recipe import Recipe
from training.schedule import rate

DESCRIPTION = "lectorium"
# More than the steps of any run, so that no two runs of other seeds share the draws of a step.
SEED_STRIDE = 1 << 31

Batch = tuple[Tensor, Tensor]


class Classifier(pl.LightningModule):
    """A model, its recipe, and the cross-entropy between its logits and the labels (I2DL VII.1).

    Batches are uint8 images (B, H, W) or (B, H, W, 3) and classes (B,). Every checkpoint carries ``description`` and its time.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, mean: Sequence[float], std: Sequence[float], description: dict[str, Any]
    ) -> None:
        super().__init__()
        # The order in which convolutions are quickest on most devices; to all else it is only another stride.
        self.model: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe = recipe
        self.pixel_mean, self.pixel_std = mean, std
        self.description = description

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a distorted batch.

        The draws depend on the seed and the step alone, so a resumed run goes on as an unbroken one.
        """
        images, labels = batch
        seed = self.recipe.seed * SEED_STRIDE + self.global_step
        images = augment(unit(images), self.recipe.augmentation, seed)  # (B, C, H, W)
        return self._loss("train", images, labels, self.recipe.loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and accuracy of images as they are."""
        images, labels = batch
        self._loss("validation", unit(images), labels, Loss())

    def _loss(self, stage: str, images: Tensor, labels: Tensor, how: Loss) -> Tensor:
        images = normalise(images, self.pixel_mean, self.pixel_std)
        logits = self.model(images.contiguous(memory_format=torch.channels_last))  # (B, classes)
        value = loss(how, logits, labels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        values = {f"{stage}_loss": value, f"{stage}_accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(labels))
        return value

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser, its learning rate set anew at every step."""
        optimizer = build_optimizer(self.model, self.recipe.optimiser)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule, epochs = self.recipe.schedule, self.recipe.epochs
        scheduler = LambdaLR(optimizer, lambda step: rate(schedule, step / steps * epochs, epochs))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description: plain strings, numbers and lists, so ``weights_only=True`` reads them."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        checkpoint[DESCRIPTION] = {**self.description, "created": now}
