"""Training a classifier on Lightning: loss, optimiser, schedule, and what a checkpoint says of itself."""

import math
from datetime import UTC, datetime
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from training.augmentation import augment
from training.graph import normalise, unit
from training.recipe import Optimiser, Recipe, Schedule

DESCRIPTION = "lectorium"
# More than the steps of any run, so that no two runs of other seeds share the draws of a step.
SEED_STRIDE = 1 << 31

Batch = tuple[Tensor, Tensor]


class Classifier(pl.LightningModule):
    """A model, its recipe, and the cross-entropy between its logits and the labels (I2DL VII.1).

    Batches are uint8 images (B, H, W) and classes (B,). Every checkpoint carries ``description`` and its time.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, mean: float, std: float, description: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.pixel_mean, self.pixel_std = mean, std
        self.description = description

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a distorted batch.

        The draws depend on the seed and the step alone, so a resumed run goes on as an unbroken one.
        """
        images, labels = batch
        generator = torch.Generator().manual_seed(self.recipe.seed * SEED_STRIDE + self.global_step)
        images = augment(unit(images), self.recipe.augmentation, generator)  # (B, 1, H, W)
        return self._loss("train", images, labels, self.recipe.label_smoothing)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and accuracy of images as they are."""
        images, labels = batch
        self._loss("validation", unit(images), labels)

    def _loss(self, stage: str, images: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        logits = self.model(normalise(images, self.pixel_mean, self.pixel_std))  # (B, classes)
        loss = cross_entropy(logits, labels, label_smoothing=smoothing)
        accuracy = (logits.argmax(1) == labels).float().mean()
        values = {f"{stage}_loss": loss, f"{stage}_accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(labels))
        return loss

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


def rate(schedule: Schedule, epoch: float, epochs: int) -> float:
    """The learning rate at a (fractional) ``epoch`` as a fraction of the recipe's."""
    if epoch < schedule.warmup:
        return max(epoch / schedule.warmup, 1e-3)
    if schedule.name == "constant":
        return 1.0
    progress = (epoch - schedule.warmup) / max(epochs - schedule.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def build_optimizer(model: nn.Module, how: Optimiser) -> Optimizer:
    """The optimiser over ``model``'s parameters; biases and other vectors are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": how.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if how.name == "sgd":
        return SGD(groups, how.learning_rate, momentum=how.momentum, nesterov=how.momentum > 0)
    return AdamW(groups, how.learning_rate)
