"""Losses (I2DL VII.1)."""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from training.craft.table import Fraction, Table


class Loss(Table):
    """The loss of a classifier; ``label_smoothing`` spreads that share of each label evenly over all classes.

    ``cross_entropy`` treats the classes as one choice and ``bce`` as independent yes-or-no choices. ``hinge`` asks that
    the right score exceed each other one by 1. ``l1`` and ``l2`` are the absolute and squared differences between the
    probabilities and the label's. All are sums over the classes and means over the batch.
    """

    name: Literal["cross_entropy", "bce", "hinge", "l1", "l2"] = "cross_entropy"
    label_smoothing: Fraction = 0.0

    @model_validator(mode="after")
    def _check_smoothing(self) -> Self:
        if self.name == "hinge" and self.label_smoothing:
            raise ValueError("hinge compares scores, not probabilities: it has no label_smoothing")
        return self


def loss(how: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of logits (B, classes) and labels (B,); the entropies are in nats.

    A single logit (B, 1) scores class 1 against class 0.
    """
    return cost(how, predict(how, logits), labels)


def predict(how: Loss, logits: Tensor) -> Tensor:
    """The values that the loss is convex in, in the logits' shape: probabilities for ``l1`` and ``l2``, else logits."""
    if how.name not in ("l1", "l2"):
        return logits
    precise = _precise(logits)
    return torch.sigmoid(precise) if _binary(logits) else torch.softmax(precise, dim=1)


def cost(how: Loss, predictions: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of the ``predictions`` of `predict`, (B, classes), and labels (B,)."""
    if how.name == "cross_entropy" and not _binary(predictions):
        return cross_entropy(predictions, labels, label_smoothing=how.label_smoothing)
    predictions = _precise(predictions)
    if how.name == "hinge":
        return _hinge(predictions, labels)
    targets = _targets(predictions, labels, how.label_smoothing)
    if how.name in ("cross_entropy", "bce"):
        return binary_cross_entropy_with_logits(predictions, targets, reduction="none").sum(1).mean()
    differences = predictions - targets  # (B, classes)
    return (differences.abs() if how.name == "l1" else differences.square()).sum(1).mean()


def _hinge(scores: Tensor, labels: Tensor) -> Tensor:
    if _binary(scores):
        return (1 - (2 * labels - 1) * scores[:, 0]).relu().mean()
    right = scores.gather(1, labels[:, None])  # (B, 1)
    # The right class's own term is always 1; it is subtracted.
    return (scores - right + 1).relu().sum(1).mean() - 1


def _targets(predictions: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    if _binary(predictions):
        return (1 - smoothing) * labels[:, None].to(predictions.dtype) + smoothing / 2
    classes = predictions.shape[1]
    return (1 - smoothing) * one_hot(labels, classes).to(predictions.dtype) + smoothing / classes


def _binary(predictions: Tensor) -> bool:
    return predictions.shape[1] == 1


def _precise(values: Tensor) -> Tensor:
    """The ``values`` in float32 or better: half precision has too few digits for sums."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
