"""One run: recipe in, run folder with checkpoint, history and learning curve out."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from torch import nn

from models.registry import build, find
from training.checkpoint import FILE, Checkpoint, describe, read_checkpoint
from training.classifier import Classifier
from training.data import Source, Split, find_source, hold_out
from training.data.loading import training_batches, validation_batches
from training.errors import RecipeError, RunError
from training.history import History, draw
from training.recipe import Recipe

VALIDATION_BATCH = 500


def fit(recipe: Recipe, run: Path, data: Path | None = None) -> Checkpoint:
    """Train as ``recipe`` says, into the folder ``run``; an unfinished run of it that is there goes on.

    Raises:
        RecipeError: the recipe names a model or a value of it that does not exist.
        DataError: the data set cannot be had or is not the one published.
        RunError: the folder holds a run of another recipe.
    """
    earlier = _earlier(recipe, run)
    if earlier is None or not earlier.finished:
        source = find_source(recipe.dataset)
        training, validation = hold_out(source.training(data), recipe.validation, recipe.seed)
        _train(recipe, run, source, training, validation, resume=earlier is not None)
    done = read_checkpoint(run)
    draw(done.history, f"{find(recipe.model).title} on {find_source(recipe.dataset).title}", run / "curve.png")
    return done


def fresh_model(recipe: Recipe) -> nn.Module:
    """The recipe's model with the initial weights of its seed; the global generator is left as it was.

    Raises:
        RecipeError: no such model, or no such value of it.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        try:
            return build(recipe.model, recipe.config)
        except KeyError as error:
            raise RecipeError(f"recipe {recipe.name!r}: {error.args[0]}") from error


def _earlier(recipe: Recipe, run: Path) -> Checkpoint | None:
    if not (run / FILE).is_file():
        return None
    earlier = read_checkpoint(run)
    if earlier.recipe != recipe:
        raise RunError(f"{run} holds a run of another recipe; choose another --output or remove it")
    return earlier


def _train(recipe: Recipe, run: Path, source: Source, training: Split, validation: Split, *, resume: bool) -> None:
    module = _module(recipe, source, {"training": len(training), "validation": len(validation)})
    run.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The data lie in memory: a worker process would only copy them.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # A resumed run's folder is not empty, and shall not be.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        # Lightning 2.6 reads a class that torch 2.13 has deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        trainer = _trainer(recipe, run)
        trainer.fit(
            module,
            training_batches(training, recipe.batch_size, recipe.seed),
            validation_batches(validation, VALIDATION_BATCH),
            ckpt_path=str(run / FILE) if resume else None,
            weights_only=True,
        )


def _module(recipe: Recipe, source: Source, splits: dict[str, int]) -> Classifier:
    model = fresh_model(recipe)
    # Through JSON, so that a checkpoint holds plain values only (and no tuples).
    config: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **recipe.config}))
    return Classifier(model, recipe, source.mean, source.std, describe(recipe, config, source, splits))


def _trainer(recipe: Recipe, run: Path) -> pl.Trainer:
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    # One file, replaced whole after each epoch, when the history already has the epoch's row.
    keep = ModelCheckpoint(run, FILE.removesuffix(".ckpt"), save_on_train_epoch_end=True, enable_version_counter=False)
    callbacks: list[Callback] = [TQDMProgressBar(refresh_rate=20), History(run / "history.csv"), keep]
    if recipe.ema:
        callbacks.append(EMAWeightAveraging(decay=recipe.ema))
    return pl.Trainer(
        max_epochs=recipe.epochs,
        precision=recipe.precision,
        accelerator="auto",
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=run,
    )
