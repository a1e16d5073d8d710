"""One run: recipe in, run folder with checkpoints, history, learning curve and sanity checks out."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from training import sanity
from training.checkpoint import BEST, FILE, Checkpoint, Keeper, read_checkpoint
from training.craft.recipe import Recipe
from training.craft.stopping import Stopper
from training.diagnosis import diagnose, handicaps
from training.errors import RecipeError, RunError
from training.history import History, draw
from training.learner import Learner
from training.solving import solve
from training.start import Start
from training.tasks import open_recipe
from training.world import World, find_world

TENSORBOARD = "tensorboard"

Say = Callable[[str], None]


def fit(
    recipe: Recipe,
    run: Path,
    data: Path | None = None,
    *,
    strict: bool = False,
    say: Say | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Checkpoint:
    """Train as ``recipe`` says, into the folder ``run``, or resume the unfinished run of that recipe there.

    ``say`` gets the results of the sanity checks and the diagnosis of the learning curve, line by line; with ``strict``
    a failed check ends the run before training. ``callbacks`` are added to Lightning's, and ``progress`` shows its bar.
    Under torchrun the processes share every batch (batch norm sees its own process's part only).

    Raises:
        RecipeError: the recipe names a model or a value of it that does not exist, or one that doesn't fit the data.
        DataError: the data set cannot be obtained or is not the one published.
        RunError: the folder holds a run of another recipe.
        DivergedError: the loss is no longer finite.
        SanityError: a check failed and ``strict`` is set.
    """
    say = say or (lambda line: None)
    earlier = _earlier(recipe, run)
    opened = open_recipe(recipe, data)
    world = find_world()
    _check_machine(recipe, world)
    if earlier is None or not earlier.finished:
        start = opened.start(resume=earlier is not None)
        run.mkdir(parents=True, exist_ok=True)
        if earlier is None:
            _check(start, run, world, say, strict=strict)
        if recipe.epochs:
            start.learner.history = History(run / "history.csv", recipe.metrics)
            callbacks = _callbacks(recipe, run, start.learner.history, callbacks, progress=progress)
            # Each step reseeds the generators.
            with torch.random.fork_rng(), quiet():
                _trainer(start.learner, run, world, callbacks).fit(
                    start.learner,
                    start.training(world),
                    start.validation(world),
                    ckpt_path=str(run / FILE) if earlier else None,
                    weights_only=True,
                )
        elif world.leads:
            solve(start, run / FILE)
    done = read_checkpoint(run)
    if world.leads:
        _report(done, opened.title, run / "curve.png", say)
    return done


def _check_machine(recipe: Recipe, world: World) -> None:
    if world.size > 1 and recipe.optimiser.full_batch:
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.optimiser.name} trains in one process, not {world.size}")
    # Lightning would train in another precision.
    if recipe.precision == "16-mixed" and not torch.cuda.is_available():
        raise RecipeError(f"recipe {recipe.name!r}: precision 16-mixed needs a GPU; bf16-mixed does not")


def _earlier(recipe: Recipe, run: Path) -> Checkpoint | None:
    if not (run / FILE).is_file():
        return None
    earlier = read_checkpoint(run)
    if earlier.recipe != recipe:
        raise RunError(f"{run} holds a run of another recipe; choose another --output or remove it")
    return earlier


def _check(start: Start, run: Path, world: World, say: Say, *, strict: bool) -> None:
    """Run the sanity checks in every process, so that all of them stop if one does."""
    checks = sanity.check(start)
    if world.leads:
        sanity.write(checks, run / "sanity.json")
        for check in checks:
            say(str(check))
    if strict:
        sanity.insist(checks)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Lightning's warnings about what is intended."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # The data are in memory: a worker process would only copy them.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # A resumed run's folder is not empty.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        # Frozen modules are in evaluation mode.
        warnings.filterwarnings("ignore", "Found .* in eval mode at the start of training")
        # A part need not move in the first batch; its schedule goes on all the same.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step\\(\\)` before")
        # Lightning 2.6 reads a class that torch 2.13 has deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        yield


def _callbacks(
    recipe: Recipe, run: Path, history: History, further: Sequence[Callback], *, progress: bool
) -> list[Callback]:
    callbacks: list[Callback] = [history, *further]
    judged = recipe.metric(recipe.early_stopping.metric)
    if recipe.early_stopping.patience:
        callbacks.append(Stopper(recipe.early_stopping, judged.better))
    if recipe.ema:
        callbacks.append(EMAWeightAveraging(decay=recipe.ema))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    # The last checkpoint is written last: it records which epoch was the best.
    return [*callbacks, Keeper(run, BEST, judged), Keeper(run, FILE)]


def _trainer(learner: Learner, run: Path, world: World, callbacks: list[Callback]) -> pl.Trainer:
    recipe = learner.settings
    # Each step of a part leaves the gradients of others alone.
    several = "ddp" if learner.automatic_optimization else "ddp_find_unused_parameters_true"
    return pl.Trainer(
        max_epochs=recipe.epochs,
        precision=recipe.precision,
        accelerator="auto",
        devices=world.local_size,
        num_nodes=world.machines,
        strategy=several if world.size > 1 else "auto",
        use_distributed_sampler=False,
        **clipping(learner),
        callbacks=callbacks,
        enable_progress_bar=any(isinstance(callback, TQDMProgressBar) for callback in callbacks),
        logger=TensorBoardLogger(run, TENSORBOARD, version=""),
        log_every_n_steps=1,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=run,
    )


def clipping(learner: Learner) -> dict[str, Any]:
    """The trainer's options that clip the gradients of a whole network; `Learner.descend` clips a part's."""
    how = learner.settings.clipping
    alike = {"gradient_clip_val": how.at or None, "gradient_clip_algorithm": how.by}
    return alike if learner.automatic_optimization else {}


def _report(done: Checkpoint, title: str, picture: Path, say: Say) -> None:
    recipe = done.recipe
    found = diagnose(done.history, handicaps(recipe, done.model()), recipe.metrics) if recipe.comparable else ()
    findings = [str(finding) for finding in found]
    draw(done.history, recipe.metrics, title, picture, findings)
    for finding in findings:
        say(finding)
