"""Measures the optimisers and schedules, and writes the tables and the picture of OPTIMISERS.md.

    python -m training.pages.optimisers

The text of that page is written by hand; check it after measuring again.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from service.config import load_config
from training.errors import DivergedError, RecipeError
from training.fit import fit
from training.history import Row
from training.pages.page import insert
from training.recipe import apply, parse_recipe

PAGE = Path(__file__).parent / "OPTIMISERS.md"
PICTURE = "optimisers.png"


@dataclass(frozen=True)
class Entry:
    """One row of a comparison: its title, its place in the lecture, its changes, and the learning rates to try."""

    title: str
    lecture: str
    changes: tuple[str, ...]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """The entries of one table, and the recipe they share, without optimiser and schedule."""

    name: str
    recipe: dict[str, Any]
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Result:
    """The entry's best rate, by the training loss at the end, and its history, one row per epoch.

    Without a history, ``problem`` says why every rate failed.
    """

    entry: Entry
    rate: float = 0.0
    history: Sequence[Row] = ()
    problem: str = ""


@dataclass
class StepCounter(Callback):
    """Counts the completed training ``steps``."""

    steps: int = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count one step."""
        self.steps += 1


MINI_BATCH = (
    Entry("gradient descent (SGD)", "I2DL V.1", ("optimiser.name=sgd", "optimiser.momentum=0"), (0.03, 0.1, 0.3)),
    Entry(
        "with momentum",
        "I2DL V.1; DL 6.6",
        ("optimiser.name=sgd", "optimiser.nesterov=false"),
        (0.01, 0.03, 0.1),
    ),
    Entry("with Nesterov's momentum", "I2DL V.1", ("optimiser.name=sgd",), (0.01, 0.03, 0.1)),
    Entry("AdaGrad", "DL 7.1", ("optimiser.name=adagrad",), (0.01, 0.03, 0.1)),
    Entry("RMSProp", "I2DL V.1", ("optimiser.name=rmsprop",), (3e-4, 1e-3, 3e-3)),
    Entry("Adam", "I2DL V.1", ("optimiser.name=adam",), (1e-3, 3e-3, 1e-2)),
    Entry(
        "AdamW, decay 0.05",
        "I2DL VIII.1, weight decay",
        ("optimiser.name=adamw", "optimiser.weight_decay=0.05"),
        (1e-3, 3e-3, 1e-2),
    ),
)
FULL_BATCH = (
    Entry("gradient descent", "I2DL V.1", ("optimiser.name=sgd", "optimiser.momentum=0"), (0.03, 0.1, 0.3, 1.0)),
    Entry("with Nesterov's momentum", "I2DL V.1", ("optimiser.name=sgd",), (0.01, 0.03, 0.1, 0.3)),
    Entry("Adam", "I2DL V.1", ("optimiser.name=adam",), (0.001, 0.003, 0.01, 0.03, 0.1)),
    Entry("L-BFGS, 20 looks a step", "I2DL V.3", ("optimiser.name=lbfgs",), (1.0,)),
    Entry("Newton, damping 0.001", "I2DL V.2", ("optimiser.name=newton",), (1.0,)),
    Entry(
        "Gauss-Newton, damping 0.1 (Levenberg)",
        "I2DL V.3",
        ("optimiser.name=gauss_newton", "optimiser.damping=0.1"),
        (1.0,),
    ),
    Entry("Levenberg-Marquardt", "I2DL V.3", ("optimiser.name=levenberg_marquardt",), (1.0,)),
)
SCHEDULED = ("optimiser.name=sgd",)
SCHEDULES = tuple(
    Entry(title, lecture, (*SCHEDULED, *changes), (0.03,))
    for title, lecture, changes in (
        ("constant", "I2DL VI.1", ()),
        ("constant, one epoch of warm-up", "", ("schedule.warmup=1",)),
        ("fractional, decay 1", "I2DL VI.1", ("schedule.name=fractional",)),
        ("step, half of it every 3 epochs", "I2DL VI.1", ("schedule.name=step", "schedule.every=3")),
        ("exponential, 0.7 an epoch", "I2DL VI.1", ("schedule.name=exponential", "schedule.factor=0.7")),
        ("linear to 0", "DL 6.4", ("schedule.name=linear",)),
        ("cosine to 0", "", ("schedule.name=cosine",)),
        ("plateau, half of it after 1 epoch no better", "", ("schedule.name=plateau", "schedule.patience=1")),
        (
            "table: a tenth from epoch 5 on, a hundredth from 8 on",
            "I2DL VI.2, training schedule",
            ("schedule.name=table", "schedule.table=[[0, 1.0], [5, 0.1], [8, 0.01]]"),
        ),
    )
)

# A whole number of batches: a short last batch would end each epoch with a step that is mostly noise.
MNIST = {"dataset": "mnist", "validation": 2_000, "examples": 78 * 128, "batch_size": 128}
THREE = MNIST | {
    "classes": ["3", "5", "8"],
    "validation": 1_000,
    "examples": 1_000,
    "batch_size": "full",
    "penalty": {"l2": 0.001},
}
TINY_MLP = {"model": "mlp", "config": {"hidden": [4], "activation": "tanh"}}
COMPARISONS = (
    Comparison("softmax", MNIST | {"model": "softmax", "epochs": 3}, MINI_BATCH),
    Comparison("mlp", MNIST | {"model": "mlp", "epochs": 3}, MINI_BATCH),
    Comparison("schedules", MNIST | {"model": "mlp", "examples": 20 * 128, "epochs": 10}, SCHEDULES),
    Comparison("softmax-full-batch", THREE | {"model": "softmax", "epochs": 15}, FULL_BATCH),
    Comparison("mlp-full-batch", THREE | TINY_MLP | {"epochs": 15}, FULL_BATCH),
)


def compare(comparison: Comparison, data: Path | None) -> Iterator[Result]:
    """Train every entry at each of its rates; all networks start with the same weights and see the same batches."""
    for entry in comparison.entries:
        results = [_train(comparison, entry, rate, data) for rate in entry.rates]
        yield min(results, key=lambda result: result.history[-1]["train_loss"] if result.history else float("inf"))


def _train(comparison: Comparison, entry: Entry, rate: float, data: Path | None) -> Result:
    values: dict[str, Any] = {**comparison.recipe, "name": "comparison", "optimiser": {"learning_rate": rate}}
    for change in entry.changes:
        apply(values, change)
    recipe = parse_recipe(values, comparison.name)
    counter = StepCounter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = fit(recipe, Path(folder), data, progress=False, callbacks=(counter,))
        except (DivergedError, RecipeError) as error:
            return Result(entry, rate, problem=f"step {counter.steps + 1}: {error}")
    return Result(entry, rate, done.history)


def tabulate(results: Sequence[Result]) -> str:
    """The table in Markdown, with the last epoch of each result."""
    lines = [
        "| | lecture | learning rate | training loss | validation loss | validation accuracy |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        start = f"| {result.entry.title} | {result.entry.lecture} | {result.rate:g} |"
        if not result.history:
            lines.append(f"{start} {result.problem} | | |")
            continue
        last = result.history[-1]
        lines.append(
            f"{start} {last['train_loss']:.4f} | {last['validation_loss']:.4f} | {last['validation_accuracy']:.2%} |"
        )
    return "\n".join(lines)


def draw(comparisons: dict[str, Sequence[Result]], path: Path) -> None:
    """Draw the training loss over the number of steps as a PNG, with a plot for each comparison side by side.

    An entry has the same colour in each plot: the comparisons have the same entries, in the same order.
    """
    figure = Figure(figsize=(8, 3.2), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    lines: dict[str, Artist] = {}
    for axes, (title, results) in zip(
        figure.subplots(1, len(comparisons), squeeze=False)[0], comparisons.items(), strict=True
    ):
        for number, result in enumerate(results):
            if result.history:
                # The first epoch's training loss is that before the first step.
                losses = [row["train_loss"] for row in result.history]
                (line,) = axes.plot(range(len(losses)), losses, color=f"C{number}", linewidth=1.2)
                lines.setdefault(result.entry.title, line)
        axes.set(title=title, xlabel="steps", ylabel="training loss", yscale="log")
        axes.grid(alpha=0.3)
    figure.legend(lines.values(), lines.keys(), loc="outside right center", fontsize="x-small")
    figure.savefig(path, metadata={"Software": None})


@click.command()
@click.option("--page", type=click.Path(path_type=Path, exists=True), default=PAGE, show_default=True)
@click.option("--only", multiple=True, type=click.Choice([each.name for each in COMPARISONS]), help="Only this table.")
def main(page: Path, only: tuple[str, ...]) -> None:
    """Measure the optimisers and schedules, and write the tables and the picture of PAGE."""
    found: dict[str, Sequence[Result]] = {}
    for comparison in COMPARISONS:
        if only and comparison.name not in only:
            continue
        with _one_thread():
            found[comparison.name] = list(compare(comparison, load_config().data))
        page.write_text(insert(page.read_text("utf-8"), comparison.name, tabulate(found[comparison.name])), "utf-8")
        click.echo(f"{comparison.name}: {len(found[comparison.name])} compared")
    full = {name: results for name, results in found.items() if name.endswith("full-batch")}
    if len(full) == 2:
        draw(full, page.with_name(PICTURE))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: another number of threads sums in another order, and long runs would differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
