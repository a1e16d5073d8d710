"""Training without steps: a model that stores its examples, or one whose weights are used unchanged."""

import os
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from models.classification.neighbours import NearestNeighbours
from training.classification.classifier import Classifier, heads
from training.data import Split
from training.errors import RecipeError
from training.history import Row, write_csv

ROWS = 500


def remember(module: Classifier, training: Split, validation: Split, path: Path) -> None:
    """Store ``training`` in the model if it is nearest neighbours; measure it; write the checkpoint ``path``.

    The history beside it has one row, for epoch 0.

    Raises:
        RecipeError: the model is made for another number of examples.
    """
    if isinstance(module.model, NearestNeighbours):
        try:
            module.model.remember(module.prepare(torch.from_numpy(training.images)), torch.from_numpy(training.labels))
        except ValueError as error:
            raise RecipeError(f"recipe {module.recipe.name!r}, config.rows: {error}") from error
    row: Row = {"epoch": 0, **_measure(module, "train", training), **_measure(module, "validation", validation)}
    write_csv([row], path.with_name("history.csv"))
    content: dict[str, Any] = {"state_dict": module.state_dict(), "callbacks": {"History": {"rows": [row]}}}
    module.on_save_checkpoint(content)
    partial = path.with_name(f".{path.name}")
    torch.save(content, partial)
    os.replace(partial, path)


@torch.no_grad()
def _measure(module: Classifier, stage: str, split: Split) -> Row:
    module.model.eval()
    loss = right = 0.0
    for start in range(0, len(split), ROWS):
        images, labels = (torch.from_numpy(part[start : start + ROWS]) for part in (split.images, split.labels))
        logits = heads(module.model(module.prepare(images)))[0]  # (rows, classes)
        loss += float(cross_entropy(logits, labels, reduction="sum"))
        right += float((logits.argmax(1) == labels).sum())
    return {f"{stage}_loss": round(loss / len(split), 6), f"{stage}_accuracy": round(right / len(split), 6)}
