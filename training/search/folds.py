"""Cross-validation: as many runs as folds, each part of the training split held out once (I2DL II)."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.classification.recipe import ClassifierRecipe
from training.errors import RecipeError
from training.fit import fit
from training.history import Row, write_csv
from training.search.space import changed


@dataclass(frozen=True)
class Held:
    """The metrics of the run ``run`` on the fold ``index``, which it did not train on, after its last epoch.

    An epoch that was kept as the best on this fold would look better than it is: noise has a best epoch, too.
    """

    index: int
    run: Path
    epochs: int
    metrics: dict[str, float]

    def __str__(self) -> str:
        metrics = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in self.metrics.items())
        return f"{self.run}: {metrics} after {self.epochs} epochs"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of the folds (n - 1 in its denominator: they are a sample)."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.deviation:.4f}"


def cross_validate(recipe: ClassifierRecipe, of: int, folder: Path, data: Path | None = None) -> Iterator[Held]:
    """Train ``recipe`` on all folds but one, ``of`` times, into ``folder``; yield each result when it is ready.

    Finished folds are not trained again, and an unfinished one is resumed. The folds depend on the recipe's seed.

    Raises:
        RecipeError: there are fewer than two folds, or the recipe names a fold already.
        DataError: the data set cannot be obtained, or has fewer examples than folds.
        RunError: the folder holds runs of another recipe.
    """
    if of < 2:
        raise RecipeError(f"folds is {of}; cross-validation needs 2 or more")
    if recipe.fold is not None:
        raise RecipeError(f"recipe {recipe.name!r} already names a fold, {recipe.fold}; cross-validation sets it")
    held: list[Held] = []
    for index in range(of):
        run = folder / f"fold-{index}"
        done = fit(changed(recipe, {"fold": {"index": index, "of": of}}), run, data)
        last = done.history[-1]
        metrics = {metric.validation: last[metric.validation] for metric in reversed(recipe.metrics)}
        held.append(Held(index, run, len(done.history), metrics))
        write_csv([_row(each) for each in held], folder / "folds.csv")
        yield held[-1]


def spread(held: Sequence[Held]) -> dict[str, Spread]:
    """The mean and standard deviation of each metric over two folds or more."""
    by_metric = {metric: [each.metrics[metric] for each in held] for metric in held[0].metrics}
    return {name: Spread(statistics.fmean(values), statistics.stdev(values)) for name, values in by_metric.items()}


def _row(held: Held) -> Row:
    return {"fold": held.index, "epochs": held.epochs, **held.metrics}
