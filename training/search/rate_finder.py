"""The learning rate range test (Smith 2015, arXiv:1506.01186; I2DL VI.3): a short training at ever larger rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.craft.recipe import Recipe
from training.errors import RecipeError
from training.fit import quiet
from training.tasks import open_recipe

# The decay per step of the running mean of losses; a mean ``DIVERGED`` times the lowest one ends the test.
SMOOTHING, DIVERGED = 0.9, 4.0
# The steps at either end that are too few to judge a slope by, and those at the start that are too few for a mean.
EDGE, LEAST = 3, 12
MOST_STEPS, MOST_RATE = 1_000_000, 1e30


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
    recipe: Recipe, data: Path | None = None, *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100
) -> RateCurve:
    """Train as ``recipe`` says for at most ``steps`` steps, the rate rising from ``lowest`` to ``highest`` in equal
    factors, until the loss diverges. Nothing is saved.

    Raises:
        RecipeError: there is no such model or value of it; the range is empty, has too few steps or begins too high; or
            the optimiser is a full-batch one, which finds its own step.
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
    ascent = Ascent(np.geomspace(lowest, highest, steps).tolist(), recipe.optimiser.learning_rate)
    # Each step reseeds the generators.
    with torch.random.fork_rng(), quiet():
        trainer = pl.Trainer(
            max_epochs=-1,
            max_steps=steps,
            precision=recipe.precision,
            gradient_clip_val=recipe.clipping.at or None,
            gradient_clip_algorithm=recipe.clipping.by,
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


class Ascent(Callback):
    """Trains each step at the next of ``rates`` and records its loss, until the loss diverges.

    A parameter group whose learning rate is a share of ``base`` gets that share of the rate.
    """

    def __init__(self, rates: Sequence[float], base: float) -> None:
        self.rates, self.base = list(rates), base
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate, overriding the schedule's."""
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.rates[len(self.losses)] * group["initial_lr"] / self.base

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the loss, or end the test if it has diverged."""
        loss = float(outputs["loss"])
        trainer.should_stop = not math.isfinite(loss)
        if math.isfinite(loss):
            self.losses.append(loss)
            judged = _smooth(self.losses)[LEAST - 1 :]
            trainer.should_stop = bool(judged) and judged[-1] > DIVERGED * min(judged)


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
