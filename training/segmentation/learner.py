"""Trains a segmentation network on Lightning."""

from collections.abc import Collection
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from models.layers.pixels import unit
from training.choice_learner import ChoiceLearner, ChoiceMeters
from training.craft.augmentation import augment_masked
from training.data.masks import IGNORE, MaskSource
from training.learner import Stage
from training.segmentation.loss import loss
from training.segmentation.recipe import SegmentationRecipe

Batch = tuple[Tensor, Tensor]


class PixelMeters(ChoiceMeters):
    """Mean loss, the share of pixels that are right, and the mean intersection over union (IoU) of the classes."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE, validate_args=False)
        self.mean_iou = MulticlassJaccardIndex(classes, average="macro", ignore_index=IGNORE, validate_args=False)

    def add(self, *batch: Tensor) -> None:
        """Add the mean loss () of a batch, its logits (B, classes, H, W) and its classes (B, H, W)."""
        loss, logits, labels = batch
        self.loss.update(loss.detach().expand(len(labels)))
        predicted = logits.detach().argmax(1)  # (B, H, W)
        self.accuracy.update(predicted, labels)
        self.mean_iou.update(predicted, labels)


class SegmentationLearner(ChoiceLearner):
    """A network, its recipe, and the loss between its logits and the masks.

    Batches are uint8 images (B, H, W) or (B, H, W, 3) and masks (B, H, W) uint8. ``weights`` (classes,) are those of
    the classes in the loss, and ``fresh`` names the modules that keep new initial weights under ``transfer``.
    """

    over_fitted: ClassVar[float] = 0.4  # coarse maps do not draw edges in the steps of the check

    def __init__(
        self,
        model: nn.Module,
        recipe: SegmentationRecipe,
        source: MaskSource,
        weights: Tensor,
        fresh: Collection[str],
        description: dict[str, Any],
    ) -> None:
        classes = len(source.labels)
        pixels = (source.mean, source.std)
        super().__init__(model, recipe, classes, pixels, description, lambda: PixelMeters(classes))
        self.recipe, self._fresh = recipe, tuple(fresh)
        self.class_weights: Tensor
        self.register_buffer("class_weights", weights, persistent=False)

    @property
    def fresh(self) -> Collection[str]:
        """See `Learner`."""
        return self._fresh

    def losses(self, network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
        """The mean cross-entropy of the pixels, each class of weight 1."""
        images, masks = batch
        return (cross_entropy(network(self.prepare(images)), masks.long(), ignore_index=IGNORE),)

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise uint8 images for the network."""
        return self.normalised(unit(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a distorted batch."""
        images, masks = batch
        seed = self.draw()
        moved, masks = augment_masked(unit(images), masks, self.recipe.augmentation, seed, IGNORE)
        # The network's own draws, such as dropout's masks, get a negative seed, unlike that of the distortions.
        torch.manual_seed(-1 - seed)
        return self._loss("train", self.normalised(moved), masks)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure images without distortions."""
        images, masks = batch
        self._loss("validation", self.prepare(images), masks)

    def _loss(self, stage: Stage, images: Tensor, masks: Tensor) -> Tensor:
        logits, labels = self.model(images), masks.long()  # (B, K, H, W), (B, H, W)
        smoothed = self.recipe.loss
        how = smoothed if stage == "train" else smoothed.model_copy(update={"label_smoothing": 0.0})
        value = loss(how, logits, labels, self.class_weights)
        self.measure(stage, value, logits, labels)
        return value
