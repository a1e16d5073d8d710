"""The learning rate range test (Smith 2015, arXiv:1506.01186; I2DL VI.3): a short training at ever larger rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from service.nearest import did_you_mean
from training.craft.recipe import Recipe
from training.errors import RecipeError
from training.fit import clipping, quiet
from training.learner import WHOLE, Learner
from training.tasks import open_recipe

# The decay per step of the running mean of losses; a mean ``DIVERGED`` times the lowest one ends the test. Losses that
# may be negative have no such ratios: there, a mean does that is above the lowest by ``DIVERGED`` times the fall to it,
# or times the range of the first losses, if that is more.
SMOOTHING, DIVERGED = 0.9, 4.0
# The steps at either end that are too few to judge a slope by, and those at the start that are too few for a mean.
EDGE, LEAST = 3, 12
MOST_STEPS, MOST_RATE = 1_000_000, 1e30
SHOWN = 60  # characters of a part's name in a message


@dataclass(frozen=True)
class RateCurve:
    """The measured loss at each of the rising learning ``rates``."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The running mean of the losses, corrected for its start at 0."""
        return _smooth(self.losses)

    @property
    def suggestion(self) -> float:
        """The rate at which the mean loss falls fastest, per factor of the rate: a rate to train with."""
        slope = np.gradient(self.smoothed, np.log(self.rates))
        return self.rates[EDGE + int(slope[EDGE:-EDGE].argmin())]


def find_rate(
    recipe: Recipe,
    data: Path | None = None,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    part: str = WHOLE,
) -> RateCurve:
    """Train as ``recipe`` says for at most ``steps`` steps, the rate rising from ``lowest`` to ``highest`` in equal
    factors, until the loss diverges. Nothing is saved.

    Of a network whose parts are trained apart, the rate and the loss are those of one ``part``, and the others keep
    their rates.

    Raises:
        RecipeError: there is no such model or value of it; the range is empty, has too few steps or begins too high;
            the optimiser is a full-batch one, which finds its own step; or there is no such part.
        DataError: the data set cannot be obtained.
    """
    if recipe.optimiser.full_batch:
        raise RecipeError(f"{recipe.optimiser.name} finds the length of its step itself")
    if not 0 < lowest < highest <= MOST_RATE or not LEAST < steps <= MOST_STEPS:
        raise RecipeError(
            f"the range is {lowest:g} to {highest:g} in {steps} steps; it must rise from above 0 to at most "
            f"{MOST_RATE:g}, in more than {LEAST} and at most {MOST_STEPS:,} steps"
        )
    start = open_recipe(recipe, data).start()
    _check_part(start.learner, part)
    ascent = Ascent(np.geomspace(lowest, highest, steps).tolist(), part, ratios=recipe.metrics[0].ratios)
    # Each step reseeds the generators.
    with torch.random.fork_rng(), quiet():
        trainer = pl.Trainer(
            max_epochs=-1,
            # The steps of all parts are counted together; the ascent ends the test.
            max_steps=MOST_STEPS if part else steps,
            precision=recipe.precision,
            **clipping(start.learner),
            callbacks=[ascent],
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(start.learner, start.training(), start.validation())
    smoothed = _smooth(ascent.losses)
    if len(smoothed) <= LEAST or min(smoothed[LEAST:]) > smoothed[LEAST - 1]:
        raise RecipeError(f"the loss only rises from the rate {lowest:g} on; begin with a lower rate")
    return RateCurve(tuple(ascent.rates[: len(ascent.losses)]), tuple(ascent.losses))


def _check_part(learner: Learner, part: str) -> None:
    """Raise RecipeError unless ``part`` is one that ``learner`` trains."""
    recipe, named = learner.settings, ", ".join(learner.parts)
    if not learner.parts:
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} is trained without steps; it has no learning rate")
    if part not in learner.parts:
        if not named:
            raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} has no parts that are trained apart")
        wrong = "its parts have a rate each" if part == WHOLE else f"it has no part {part[:SHOWN]!r}"
        near = did_you_mean(part, learner.parts)
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model}: {wrong}{near}; the parts are {named}")


class Ascent(Callback):
    """Trains each step of the ``part`` at the next of ``rates`` and records its loss, until it diverges.

    A parameter group whose learning rate is a share of the recipe's gets that share of the rate. ``ratios`` says that
    losses are above 0.
    """

    def __init__(self, rates: Sequence[float], part: str, *, ratios: bool) -> None:
        self.rates, self.part, self.ratios = list(rates), part, ratios
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate, overriding the schedules'."""
        learner = cast(Learner, pl_module)
        for part, optimizer in learner.optimisers().items():
            base = learner.settings.descent(part).optimiser.learning_rate
            for group in optimizer.param_groups:
                rate = self.rates[len(self.losses)] if part == self.part else base
                group["lr"] = rate * group["initial_lr"] / base

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the loss, if the part has moved, or end the test if it has diverged."""
        found = cast(Learner, pl_module).descended.get(self.part) if self.part else outputs["loss"]
        if found is None:
            return
        loss = float(found)
        trainer.should_stop = not math.isfinite(loss)
        if math.isfinite(loss):
            self.losses.append(loss)
            ended = self.part != WHOLE and len(self.losses) == len(self.rates)
            trainer.should_stop = ended or diverged(self.losses, ratios=self.ratios)


def diverged(losses: Sequence[float], *, ratios: bool) -> bool:
    """Whether the running mean of ``losses`` is now far above the lowest; ``ratios`` says that they are above 0."""
    smoothed = _smooth(losses)
    judged = smoothed[LEAST - 1 :]
    if not judged:
        return False
    lowest = min(judged)
    if ratios:
        return judged[-1] > DIVERGED * lowest
    fall = max(smoothed[: LEAST + judged.index(lowest)]) - lowest
    first = losses[:LEAST]
    return judged[-1] - lowest > DIVERGED * max(fall, max(first) - min(first))


def draw(curve: RateCurve, title: str, path: Path) -> None:
    """Draw the curve as a PNG: the loss over the rate, and the suggested rate."""
    figure = Figure(figsize=(6, 3.2), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, color="tab:blue", alpha=0.3, label="loss")
    axes.plot(curve.rates, curve.smoothed, color="tab:blue", label="running mean")
    axes.axvline(curve.suggestion, color="tab:orange", label=f"steepest fall: {curve.suggestion:.1e}")
    axes.set(xlabel="learning rate", ylabel="loss", xscale="log", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Software": None})


def _smooth(losses: Sequence[float]) -> tuple[float, ...]:
    mean, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**count))
    return tuple(smoothed)
