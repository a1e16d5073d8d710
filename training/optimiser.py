"""Optimisers (I2DL V)."""

from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from training.table import Fraction, NonNegative, Positive, Table


class Optimiser(Table):
    """``sgd`` with Nesterov's ``momentum``, or ``adamw`` (I2DL V; decoupled decay: arXiv:1711.05101)."""

    name: Literal["sgd", "adamw"]
    learning_rate: Positive
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0


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
