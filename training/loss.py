"""Losses (I2DL VII.1)."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from training.table import Fraction, Table


class Loss(Table):
    """What a classifier's logits and the labels cost; ``label_smoothing`` spreads that share of a label over all."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.0


def loss(how: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of logits (B, classes) and labels (B,), in nats."""
    return cross_entropy(logits, labels, label_smoothing=how.label_smoothing)
