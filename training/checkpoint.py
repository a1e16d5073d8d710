"""Checkpoints that say everything needed to rebuild the model: read without running any code of theirs."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.registry import build
from service.package import Dataset
from training.classifier import DESCRIPTION
from training.data import Source
from training.errors import RunError
from training.history import Row
from training.provenance import describe_dataset, git_commit, library_versions
from training.recipe import Recipe, parse_recipe

FILE = "last.ckpt"
PREFIX = "model."  # of the model's parameters inside the Lightning module's


@dataclass(frozen=True)
class Checkpoint:
    """What a run folder's checkpoint says, and its weights."""

    recipe: Recipe
    config: dict[str, Any]
    dataset: Dataset
    libraries: dict[str, str]
    git_commit: str
    created: str
    history: list[Row]
    weights: dict[str, Tensor]

    @property
    def finished(self) -> bool:
        """Whether every epoch of the recipe is done."""
        return len(self.history) >= self.recipe.epochs

    def model(self) -> nn.Module:
        """The trained model, for inference."""
        model = build(self.recipe.model, self.config)
        model.load_state_dict(self.weights)
        return model.eval()


def describe(recipe: Recipe, config: dict[str, Any], source: Source, splits: dict[str, int]) -> dict[str, Any]:
    """What every checkpoint of this run says of itself, in plain strings, numbers, lists and dictionaries."""
    return {
        "model": recipe.model,
        "config": config,
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "dataset": describe_dataset(source, splits).model_dump(mode="json"),
        "libraries": library_versions(),
        "git_commit": git_commit(),
    }


def read_checkpoint(run: Path) -> Checkpoint:
    """The checkpoint in the run folder ``run``.

    Raises:
        RunError: there is none, or it is none of ours.
    """
    path = run / FILE
    if not path.is_file():
        raise RunError(f"{run}: no {FILE}; is this the folder of a `lectorium train` run?")
    try:
        return _parse(torch.load(path, map_location="cpu", weights_only=True), path)
    except (KeyError, RuntimeError, EOFError, pickle.UnpicklingError, ValidationError) as error:
        raise RunError(f"{path}: not a checkpoint of `lectorium train` ({error})") from error


def _parse(content: dict[str, Any], path: Path) -> Checkpoint:
    said = content[DESCRIPTION]
    return Checkpoint(
        recipe=parse_recipe(said["recipe"], str(path)),
        config=said["config"],
        dataset=Dataset.model_validate(said["dataset"]),
        libraries=said["libraries"],
        git_commit=said["git_commit"],
        created=said["created"],
        history=content["callbacks"]["History"]["rows"],
        weights={k.removeprefix(PREFIX): v for k, v in content["state_dict"].items() if k.startswith(PREFIX)},
    )
