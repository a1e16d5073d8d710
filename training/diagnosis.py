"""The diagnosis of a learning curve, in the lecture's terms (I2DL VI.2, figures VI.3 to VI.6)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal

from torch import nn

from training.craft.metric import ACCURACY, LOSS, Metric
from training.craft.recipe import Recipe
from training.history import Row

Name = Literal[
    "not learning",
    "not generalising",
    "under-fitting",
    "over-fitting",
    "unrepresentative training split",
    "unrepresentative validation split",
    "good fit",
]

# A curve of fewer epochs has no shape to judge.
FEWEST = 4
# The least relative change of a loss that counts: runs that differ only in their seed end closer together than this.
CHANGE = 0.05
# A change within this many standard deviations of the noise between epochs is put down to chance.
DEVIATIONS = 2.0
# The end of a curve is its last fifth: short enough to be the end, long enough to have a direction.
END = 5
# A gap is large if the validation loss is 1.5 times the training loss and the accuracy, or another metric that is
# measured on both splits, is also 2 percentage points worse: losses near zero easily differ by that factor.
GAP, POINTS = 1.5, 0.02


@dataclass(frozen=True)
class Finding:
    """One property of the curve: its ``name``, the evidence for it, and the lecture's advice."""

    name: Name
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}; {self.advice}" if self.advice else f"{self.name}: {self.evidence}"


def diagnose(
    rows: Sequence[Row], handicaps: Sequence[str] = (), metrics: Sequence[Metric] = (LOSS, ACCURACY)
) -> tuple[Finding, ...]:
    """The findings for the learning curve in ``rows``, one row per epoch, of ``metrics``, the loss first.

    There are none for fewer than 4 epochs, and none for a loss that may be negative: every rule compares by ratios.

    ``handicaps`` names what makes the training loss higher than the same weights' validation loss, such as dropout: a
    validation loss below the training loss then says nothing about the splits.
    """
    if len(rows) < FEWEST or not metrics[0].ratios:
        return ()
    curve = Curve(rows, metrics)
    if stuck := _not_learning(curve) or _not_generalising(curve):
        return (stuck,)
    found = (
        _over_fitting(curve),
        _under_fitting(curve),
        _unrepresentative_training(curve),
        None if handicaps else _unrepresentative_validation(curve),
    )
    return tuple(finding for finding in found if finding) or (_good(curve),)


def handicaps(recipe: Recipe, model: nn.Module) -> list[str]:
    """The names of what makes the training loss of ``model`` higher than the same weights' validation loss."""
    dropout = any(m.p > 0 for m in model.modules() if isinstance(m, nn.Dropout | nn.Dropout2d))
    return [*recipe.handicaps, *(["dropout"] if dropout else [])]


class Curve:
    """The smoothed losses of both splits, and the noise of the validation loss.

    An epoch's training loss is the mean over the epoch, during which the weights improve; its validation loss is
    measured at the end. ``validation`` is therefore interpolated to the middle of each epoch.
    """

    def __init__(self, rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
        loss, *others = metrics
        train, validation = ([row[column] for row in rows] for column in (loss.training, loss.validation))
        self.first_epoch = int(rows[0]["epoch"])
        self.train = smooth(train)
        self.ends = smooth(validation)
        self.validation = [self.ends[0], *(fmean(pair) for pair in zip(self.ends, self.ends[1:], strict=False))]
        self.noise = _noise(validation)
        self.best = min(range(len(rows)), key=lambda epoch: self.ends[epoch])
        self.tail = max(2, math.ceil(len(rows) / END))
        self.other = next((metric for metric in reversed(others) if metric.trained), None)
        self.lag = _lag(rows[-self.tail :], self.other) if self.other else 0.0

    @property
    def lags(self) -> bool:
        """Whether validation is clearly worse than training by the other metric, if there is one."""
        return self.other is None or self.lag >= POINTS

    def fell(self, losses: Sequence[float]) -> float:
        """The fraction by which ``losses`` fell during the end of the curve."""
        before = losses[-1 - self.tail]
        return (before - losses[-1]) / before if before > 0 else 0.0


def _lag(rows: Sequence[Row], metric: Metric) -> float:
    """By how much validation is worse than training, the mean over ``rows``."""
    sign = 1 if metric.better == "max" else -1
    return fmean(sign * (row[metric.training] - row[metric.validation]) for row in rows)


def smooth(values: Sequence[float]) -> list[float]:
    """The centred moving mean over a tenth of the curve; below 20 epochs it leaves the values as they are."""
    reach = len(values) // 20
    return [fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def _noise(values: Sequence[float]) -> float:
    """The deviation of an epoch from the line between its neighbours, in the later half, where curves are straight."""
    later = values[-max(5, len(values) // 2) :]
    triples = zip(later, later[1:], later[2:], strict=False)
    # An epoch less the mean of its two neighbours has 1.5 times the variance of one epoch.
    return pstdev([middle - (before + after) / 2 for before, middle, after in triples]) / math.sqrt(1.5)


def _not_learning(curve: Curve) -> Finding | None:
    first, lowest = curve.train[0], min(curve.train[1:])
    if lowest < first * (1 - CHANGE):
        return None
    evidence = f"the training loss is {curve.train[-1]:.3g} after {first:.3g} in the first epoch"
    return Finding("not learning", evidence, "try other learning rates, and check whether one batch can be over-fitted")


def _not_generalising(curve: Curve) -> Finding | None:
    first, lowest = curve.ends[0], curve.ends[curve.best]
    if lowest < first * (1 - CHANGE) or not curve.lags:
        return None
    evidence = (
        f"the training loss fell from {curve.train[0]:.3g} to {curve.train[-1]:.3g}, "
        f"but the validation loss was never far below the {first:.3g} of the first epoch"
    )
    advice = "the splits differ, or the average of the weights (ema) is still close to the initial weights"
    return Finding("not generalising", evidence, advice)


def _over_fitting(curve: Curve) -> Finding | None:
    lowest, last = curve.ends[curve.best], curve.ends[-1]
    rise = last - lowest
    if rise <= max(CHANGE * lowest, DEVIATIONS * curve.noise) or curve.train[-1] >= curve.train[curve.best]:
        return None
    evidence = (
        f"the validation loss was lowest, {lowest:.3g}, after epoch {curve.best + curve.first_epoch} "
        f"and rose to {last:.3g} while the training loss went on falling"
    )
    return Finding("over-fitting", evidence, "stop early, regularise, augment or take more data")


def _under_fitting(curve: Curve) -> Finding | None:
    train, validation = curve.fell(curve.train), curve.fell(curve.ends)
    if train <= 0 or validation <= CHANGE or curve.ends[-1 - curve.tail] - curve.ends[-1] <= DEVIATIONS * curve.noise:
        return None
    evidence = (
        f"in the last {curve.tail} epochs the training loss still fell by {train:.0%} "
        f"and the validation loss by {validation:.0%}"
    )
    return Finding("under-fitting", evidence, "train longer, or take a larger network")


def _unrepresentative_training(curve: Curve) -> Finding | None:
    train, validation = curve.train[-1], curve.validation[-1]
    if validation < GAP * train or not curve.lags:
        return None
    evidence = f"both losses fell, but {validation:.3g} in validation is far from {train:.3g} in training"
    if curve.other is not None:
        worse = "lower" if curve.other.better == "max" else "higher"
        evidence += f", and {curve.other.name.replace('_', ' ')} {curve.lag:.1%} {worse}"
    advice = "the training examples are too few, or unlike the others: take more, augment or regularise"
    return Finding("unrepresentative training split", evidence, advice)


def _unrepresentative_validation(curve: Curve) -> Finding | None:
    train, validation = (fmean(losses[-curve.tail :]) for losses in (curve.train, curve.validation))
    if train - validation <= max(CHANGE * train, DEVIATIONS * curve.noise):
        return None
    evidence = f"the validation loss, {validation:.3g}, is below the training loss, {train:.3g}"
    advice = "the validation examples are easier, or too few: hold out others, or more"
    return Finding("unrepresentative validation split", evidence, advice)


def _good(curve: Curve) -> Finding:
    evidence = f"the validation loss has levelled off at {curve.ends[-1]:.3g}, training's is {curve.train[-1]:.3g}"
    return Finding("good fit", evidence, "")
