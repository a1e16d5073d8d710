"""Schedules of the learning rate (I2DL VI.1)."""

import math
from typing import Literal

from training.table import NonNegative, Table


class Schedule(Table):
    """The learning rate: a linear rise over ``warmup`` epochs, then constant or a cosine to zero."""

    name: Literal["constant", "cosine"] = "constant"
    warmup: NonNegative = 0.0


def rate(schedule: Schedule, epoch: float, epochs: int) -> float:
    """The learning rate at a (fractional) ``epoch`` as a fraction of the recipe's."""
    if epoch < schedule.warmup:
        return max(epoch / schedule.warmup, 1e-3)
    if schedule.name == "constant":
        return 1.0
    progress = (epoch - schedule.warmup) / max(epochs - schedule.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
