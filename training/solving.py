"""Training without steps: a network whose weights are computed from the whole training split, or stay as they are."""

import os
from pathlib import Path
from typing import Any

import torch

from training.craft.metric import columns
from training.history import Row, write_csv
from training.learner import Learner
from training.start import Batches, Start


def solve(start: Start, path: Path) -> None:
    """Solve the learner of ``start``, measure it on both splits, and write the checkpoint ``path``.

    The history beside it has one row, for epoch 0.

    Raises:
        RecipeError: the learner cannot be solved, or not from so many examples.
    """
    learner = start.learner
    learner.solve(start.ordered())
    validation, training = (_measured(learner, batches) for batches in (start.validation(), start.ordered()))
    found = {metric.validation: validation[metric.name] for metric in learner.settings.metrics}
    found |= {metric.training: training[metric.name] for metric in learner.settings.metrics if metric.trained}
    row: Row = {"epoch": 0, **{column: found[column] for column in columns(learner.settings.metrics)}}
    write_csv([row], path.with_name("history.csv"))
    content: dict[str, Any] = {"state_dict": learner.state_dict(), "callbacks": {"History": {"rows": [row]}}}
    learner.on_save_checkpoint(content)
    partial = path.with_name(f".{path.name}")
    torch.save(content, partial)
    os.replace(partial, path)


@torch.no_grad()
def _measured(learner: Learner, batches: Batches) -> Row:
    """The recipe's metrics on ``batches``, by name, as they are measured in validation."""
    learner.eval()
    meters, metrics = learner.validation_meters, learner.settings.metrics
    for index, batch in enumerate(batches):
        learner.validation_step(batch, index)
    found = {metric.name: round(float(getattr(meters, metric.name).compute()), 6) for metric in metrics}
    for meter in meters.children():
        meter.reset()  # type: ignore[operator]
    return found
