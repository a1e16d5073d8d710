"""Schedules of the learning rate (I2DL VI.1; linear: DL 6.4)."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.craft.table import LARGEST, NonNegative, Table, Whole

Name = Literal["constant", "fractional", "step", "exponential", "linear", "cosine", "plateau", "table"]
Share = Annotated[float, Field(ge=0, le=1)]

# The share of its size by which a loss, which may be negative, has to fall to count as better.
BETTER = 1e-4


class Schedule(Table):
    """The learning rate: a linear rise over ``warmup`` epochs, then as ``name`` says, as a fraction of the recipe's.

    With t the epochs since the warm-up, and never below ``least``: ``constant`` 1; ``fractional`` 1 / (1 + ``decay``
    t); ``step`` times ``factor`` after each ``every`` epochs; ``exponential`` ``factor`` ^ t; ``linear`` and ``cosine``
    from 1 to 0 over ``fall`` epochs (0: all that remain); ``plateau`` times ``factor`` when the validation loss has not
    improved for more than ``patience`` epochs. ``table`` has pairs of an epoch of the run and the rate from then on.
    """

    name: Name = "constant"
    warmup: NonNegative = 0.0
    decay: NonNegative = 1.0
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    every: Annotated[float, Field(ge=1e-6, le=LARGEST)] = 10.0
    patience: Whole = 5
    fall: NonNegative = 0.0
    least: Share = 0.0
    table: tuple[tuple[NonNegative, NonNegative], ...] = ()

    @model_validator(mode="after")
    def _check_table(self) -> Self:
        if (self.name == "table") != bool(self.table):
            raise ValueError("a schedule named 'table' needs the pairs of a `table`; no other schedule takes them")
        epochs = [epoch for epoch, _ in self.table]
        if epochs and (epochs[0] != 0 or any(a >= b for a, b in pairwise(epochs))):
            raise ValueError(f"the epochs of the table are {epochs}; they must begin at 0 and rise")
        return self


def rate(schedule: Schedule, epoch: float, epochs: int, losses: Sequence[float] = ()) -> float:
    """The learning rate at a (fractional) ``epoch`` of ``epochs`` as a fraction of the recipe's.

    ``losses`` are the validation losses of the epochs so far; only a plateau uses them.
    """
    rising = min(epoch / schedule.warmup, 1.0) if schedule.warmup else 1.0
    since = max(epoch - schedule.warmup, 0.0)
    if schedule.name == "table":
        fraction = _table(schedule, epoch)
    elif schedule.name == "plateau":
        fraction = _plateau(schedule, losses)
    else:
        fraction = FALLING[schedule.name](schedule, since, max((schedule.fall or epochs - schedule.warmup), 1e-9))
    # The first step of a warm-up is small, but not 0.
    return max(rising, 1e-3) * max(fraction, schedule.least)


def _table(schedule: Schedule, epoch: float) -> float:
    return [fraction for start, fraction in schedule.table if start <= epoch][-1]


def _plateau(schedule: Schedule, losses: Sequence[float]) -> float:
    fraction, best, waited = 1.0, math.inf, 0
    for loss in losses:
        better = loss < best * (1 - math.copysign(BETTER, best))
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited > schedule.patience:
            fraction, waited = fraction * schedule.factor, 0
    return fraction


# The fraction t epochs after the warm-up; ``fall`` is the number of epochs of a fall to 0.
FALLING: Mapping[Name, Callable[[Schedule, float, float], float]] = {
    "constant": lambda schedule, t, fall: 1.0,
    "fractional": lambda schedule, t, fall: 1 / (1 + schedule.decay * t),
    "step": lambda schedule, t, fall: schedule.factor ** math.floor(t / schedule.every),
    "exponential": lambda schedule, t, fall: schedule.factor**t,
    "linear": lambda schedule, t, fall: 1 - min(t / fall, 1.0),
    "cosine": lambda schedule, t, fall: 0.5 * (1 + math.cos(math.pi * min(t / fall, 1.0))),
}
