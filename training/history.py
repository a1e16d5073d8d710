"""The learning curve: kept in the checkpoint, written as CSV and for TensorBoard each epoch, drawn as a picture."""

import csv
import math
import os
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from training.craft.metric import Metric, columns
from training.errors import DivergedError

if TYPE_CHECKING:
    from training.learner import Learner

Row = dict[str, float]


class History(Callback):
    """One row an epoch: epoch (from 1), the ``metrics`` of both splits, learning rate, seconds. Kept in the checkpoint.

    Parts that are trained apart have a column each for their rates, such as ``learning_rate_generator``.

    Raises:
        DivergedError: a metric is no longer finite.
    """

    def __init__(self, path: Path, metrics: Sequence[Metric]) -> None:
        self.path, self.columns = path, columns(metrics)
        self.rows: list[Row] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the row and rewrite the file."""
        row: Row = {"epoch": trainer.current_epoch + 1}
        row |= {name: round(float(trainer.callback_metrics[name]), 6) for name in self.columns}
        for part, optimizer in cast("Learner", pl_module).optimisers().items():
            row[f"learning_rate_{part}" if part else "learning_rate"] = float(optimizer.param_groups[0]["lr"])
        row["seconds"] = round(time.perf_counter() - self._started, 2)
        _check(row, self.columns)
        self.rows.append(row)
        if trainer.is_global_zero:
            write_csv(self.rows, self.path)
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows from a checkpoint."""
        self.rows = list(state_dict["rows"])


def _check(row: Row, names: Sequence[str]) -> None:
    for name in names:
        if not math.isfinite(row[name]):
            raise DivergedError(
                f"epoch {row['epoch']:.0f}: the {name.replace('_', ' ')} is {row[name]}; "
                "try a lower learning rate, a warm-up or clipping"
            )


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write all ``rows`` to the file ``path``, replacing it atomically."""
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def draw(rows: Sequence[Row], metrics: Sequence[Metric], title: str, path: Path, words: Sequence[str] = ()) -> None:
    """Draw the learning curve as a PNG: the ``metrics`` side by side, training and validation in each (I2DL VI.2).

    ``words``, such as a diagnosis, are printed below it, each on a line of its own.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [line for each in words for line in textwrap.wrap(each, 120)]
    figure = Figure(figsize=(4 * len(metrics), 3 + 0.17 * len(lines)), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    if lines:
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", size="small")
    epochs = [row["epoch"] for row in rows]
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for stage, column, colour in (
            ("train", metric.training, "tab:blue"),
            ("validation", metric.validation, "tab:orange"),
        ):
            if column in rows[0]:
                axes.plot(epochs, [row[column] for row in rows], label=stage, color=colour, marker=".")
        axes.set(xlabel="epoch", ylabel=metric.name.replace("_", " "), yscale="log" if metric.ratios else "linear")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, metadata={"Software": None})
