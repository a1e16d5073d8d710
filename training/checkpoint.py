"""Checkpoints hold everything needed to rebuild the model; reading one never runs code from the file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from pydantic import ValidationError
from torch import Tensor, nn

from models.registry import build
from models.weights import AUXILIARY, WeightsError, load_plain
from service.package import Dataset, InitialWeights
from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.craft.stopping import has_stopped
from training.data.source import Origin
from training.errors import ExportError, RunError
from training.history import Row
from training.learner import DESCRIPTION, INITIAL_WEIGHTS
from training.provenance import describe_dataset, git_commit, library_versions, with_test
from training.recipe import parse_recipe

FILE = "last.ckpt"
BEST = "best.ckpt"
PREFIX = "model."  # Lightning puts it before the names of the model's parameters

R = TypeVar("R", bound=Recipe)


class Keeper(ModelCheckpoint):
    """Writes the file ``name`` into the folder ``run`` after every epoch, or, with ``metric``, after each best one.

    It replaces the file atomically, after the history has the epoch's row. A run can be resumed after its folder was
    moved.
    """

    def __init__(self, run: Path, name: str, metric: Metric | None = None) -> None:
        super().__init__(
            run,
            Path(name).stem,
            monitor=metric.validation if metric else None,
            mode=metric.better if metric else "min",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint; its paths, of the folder where the run began, become this folder's."""
        folder = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(folder / Path(path).name) if path else ""

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        here = {"dirpath": self.dirpath, "best_k_models": best, **{key: moved(state_dict[key]) for key in paths}}
        super().load_state_dict(state_dict | here)


@dataclass(frozen=True)
class Checkpoint:
    """The content of a run folder's checkpoint.

    ``weights`` are those that the recipe keeps: read from ``file``, from the epoch of the row ``kept``.
    """

    recipe: Recipe
    config: dict[str, Any]
    dataset: Dataset
    libraries: dict[str, str]
    git_commit: str
    created: str
    history: list[Row]
    kept: Row | None
    file: Path
    weights: dict[str, Tensor]
    stopped: bool
    initial_weights: InitialWeights | None = None

    @property
    def finished(self) -> bool:
        """Whether every epoch of the recipe is done or early stopping has ended the run."""
        return self.stopped or len(self.history) >= self.recipe.epochs

    def model(self) -> nn.Module:
        """The trained model, for inference: without the heads that only training needs."""
        config, weights = self.config, self.weights
        if config.get("auxiliary"):
            config = config | {"auxiliary": False}
            weights = {name: value for name, value in weights.items() if not name.startswith(AUXILIARY)}
        with torch.random.fork_rng():  # building draws initial weights, which are then replaced
            model = build(self.recipe.model, config)
        model.load_state_dict(weights)
        return model.eval()


def describe(
    recipe: Recipe,
    config: dict[str, Any],
    source: Origin,
    splits: dict[str, int],
    initial_weights: InitialWeights | None = None,
) -> dict[str, Any]:
    """The description in every checkpoint of this run: plain strings, numbers, lists and dictionaries."""
    return {
        "model": recipe.model,
        "config": config,
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "dataset": describe_dataset(source, splits).model_dump(mode="json"),
        "libraries": library_versions(),
        "git_commit": git_commit(),
        INITIAL_WEIGHTS: initial_weights.model_dump() if initial_weights else None,
    }


def read_checkpoint(run: Path) -> Checkpoint:
    """The checkpoint in the run folder ``run``, with the weights that its recipe keeps.

    Raises:
        RunError: there is no checkpoint, or `lectorium train` did not write it.
    """
    last = _read(run / FILE)
    if last.recipe.keep == "last" or not last.recipe.epochs:
        return last
    best = _read(run / BEST)
    return replace(last, kept=best.kept, file=best.file, weights=best.weights)


def read_finished(run: Path, kind: type[R], whose: str) -> tuple[Checkpoint, R]:
    """The checkpoint of the finished run in the folder ``run``, and its recipe of the class ``kind``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the recipe is of another class; the message says that ``whose`` run was expected.
    """
    checkpoint = read_checkpoint(run)
    recipe = checkpoint.recipe
    if not isinstance(recipe, kind):
        raise ExportError(f"{run}: its task is {recipe.task!r}; expected {whose} run")
    if not checkpoint.finished:
        raise RunError(f"{run}: {len(checkpoint.history)} of {recipe.epochs} epochs are done; `train` resumes the run")
    return checkpoint, recipe


def tested(run: Path, checkpoint: Checkpoint, source: Origin, test: int) -> Dataset:
    """The card's description of ``source``, which the run was trained on, with a test split of ``test`` examples.

    Raises:
        ExportError: the data set's files have changed since training.
    """
    if dict(source.files) != checkpoint.dataset.files:
        raise ExportError(f"{run}: {checkpoint.recipe.dataset} has changed since it was trained on; train again")
    return with_test(checkpoint.dataset, test)


def _read(path: Path) -> Checkpoint:
    if not path.is_file():
        raise RunError(f"{path.parent}: no {path.name}; is this the folder of a `lectorium train` run?")
    try:
        return _parse(load_plain(path), path)
    except WeightsError as error:
        raise RunError(f"{error}: not a checkpoint of `lectorium train`") from error
    except (AttributeError, KeyError, TypeError, ValidationError) as error:
        raise RunError(f"{path}: not a checkpoint of `lectorium train`") from error


def _parse(content: dict[str, Any], path: Path) -> Checkpoint:
    said = content[DESCRIPTION]
    history: list[Row] = content["callbacks"]["History"]["rows"]
    return Checkpoint(
        recipe=parse_recipe(said["recipe"], str(path)),
        config=said["config"],
        dataset=Dataset.model_validate(said["dataset"]),
        libraries=said["libraries"],
        git_commit=said["git_commit"],
        created=said["created"],
        history=history,
        kept=history[-1] if history else None,
        file=path,
        weights={k.removeprefix(PREFIX): v for k, v in content["state_dict"].items() if k.startswith(PREFIX)},
        stopped=has_stopped(content["callbacks"]),
        initial_weights=InitialWeights.model_validate(start) if (start := said.get(INITIAL_WEIGHTS)) else None,
    )
