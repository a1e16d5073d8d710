"""The trials of a search: written as rows of a CSV file and as a picture, and the best one as a recipe."""

import csv
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.search.space import Range, Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes

State = Literal["complete", "pruned", "failed"]
COLOURS: dict[State, str] = {"complete": "tab:blue", "pruned": "tab:gray"}
COLUMNS = 3


@dataclass(frozen=True)
class Result:
    """One trial that has ended: what it changed, its result, and the folder of its run.

    ``value`` is the metric of the weights that the run would export, or the last one measured if the trial was pruned.
    A failed trial has no value, but a ``reason``.
    """

    number: int
    state: State
    value: float | None
    epochs: int
    changes: dict[str, Any]
    run: Path
    reason: str = ""

    def __str__(self) -> str:
        changes = ", ".join(f"{key} {shown(value)}" for key, value in self.changes.items())
        value = f"{self.value:.4f}" if self.value is not None else "no value"
        said = f"{self.run.name}: {value} {self.state} after {self.epochs} epochs, {changes}"
        return f"{said}: {self.reason}" if self.reason else said


def shown(value: Any) -> str:
    """``value`` in short: a text as it is, a float with four digits, anything else as JSON."""
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def best(results: Iterable[Result], metric: Metric) -> Result | None:
    """The best complete trial, the first of equals; None if none is complete."""
    whole = [(result.value, result) for result in results if result.state == "complete" and result.value is not None]
    if not whole:
        return None
    better = max if metric.better == "max" else min
    return better(whole, key=lambda pair: pair[0])[1]


def write_csv(results: Sequence[Result], metric: Metric, path: Path) -> None:
    """Write a line per trial, replacing the file atomically: trial, state, metric, epochs, each key, run, reason."""
    rows = [{**_cells(result, metric), "run": result.run, "reason": result.reason} for result in results]
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def write_recipe(recipe: Recipe, origin: str, path: Path) -> None:
    """Write ``recipe``, without defaults, as a file for `lectorium train`; ``origin`` is a comment at its top."""
    import tomli_w

    values = recipe.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    path.write_text(f"# {origin}\n{tomli_w.dumps(values)}", "utf-8")


def draw(results: Sequence[Result], space: Space, metric: Metric, path: Path) -> None:
    """Draw a PNG: the metric trial by trial with the best so far, then over the values of each key."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = 1 + len(space)
    columns = min(panels, COLUMNS)
    lines = -(-panels // columns)
    figure = Figure(figsize=(4 * columns, 3 * lines), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    first, *others = figure.subplots(lines, columns, squeeze=False).flatten()
    _draw_history(first, results, metric)
    for axes, (key, range_) in zip(others, space.items(), strict=False):
        values = [result.changes[key] for result in results]
        if isinstance(range_, Range):
            _scatter(axes, results, values)
            axes.set_xlim(*range_.ends)
            axes.set_xscale("log" if range_.log else "linear")
        else:
            _scatter(axes, results, [shown(value) for value in values])
        axes.set_xlabel(key)
    for axes in others[len(space) :]:
        axes.remove()
    figure.savefig(path, metadata={"Software": None})


def _cells(result: Result, metric: Metric) -> dict[str, Any]:
    first = {"trial": result.number, "state": result.state, metric.validation: result.value, "epochs": result.epochs}
    whole = (int, float, str)
    return first | {key: value if isinstance(value, whole) else shown(value) for key, value in result.changes.items()}


def _draw_history(axes: "Axes", results: Sequence[Result], metric: Metric) -> None:
    _scatter(axes, results, [result.number for result in results])
    reached = [best(results[: i + 1], metric) for i in range(len(results))]
    heights = [math.nan if so_far is None or so_far.value is None else so_far.value for so_far in reached]
    axes.step([result.number for result in results], heights, where="post", color="tab:orange", label="best so far")
    axes.set(xlabel="trial", ylabel=metric.validation.replace("_", " "))
    axes.legend()


def _scatter(axes: "Axes", results: Sequence[Result], places: Sequence[Any]) -> None:
    for state, colour in COLOURS.items():
        points = [
            (place, r.value)
            for place, r in zip(places, results, strict=True)
            if r.state == state and r.value is not None
        ]
        axes.scatter([p[0] for p in points], [p[1] for p in points], color=colour, label=state, s=16, clip_on=False)
    axes.grid(alpha=0.3)
