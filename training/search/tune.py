"""Searches for a recipe's best values: a study of trials, each an ordinary run (I2DL VI.3)."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import ValidationError

from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.errors import DivergedError, RecipeError, RunError, TrainingError
from training.fit import fit
from training.recipe import parse_recipe
from training.search.space import Space, changed, grid
from training.search.trials import Result, State, best, draw, write_csv, write_recipe
from training.start import fresh_model

FILE, BEST, REASON = "search.db", "best.toml", "reason"
# The first trials are never pruned: a median of few says little.
STARTUP = 5

Sampler = Literal["grid", "random", "tpe"]


@dataclass(frozen=True)
class Search:
    """A search for the values of ``space`` in ``recipe`` with the best ``metric``, a column of the history.

    "" stands for the recipe's headline metric.

    ``grid`` tries every combination in a shuffled order, ``random`` draws each value independently, and ``tpe`` draws
    where good trials are denser than bad ones (arXiv:2304.11127). With ``prune``, a trial that is worse after an epoch
    than the median of the trials before it ends there.
    """

    recipe: Recipe
    space: Space
    sampler: Sampler = "tpe"
    metric: str = ""
    prune: bool = True

    @property
    def judged(self) -> Metric:
        """The metric that trials are compared by."""
        return self.recipe.metric(self.metric) if self.metric else self.recipe.headline

    def check(self) -> None:
        """Build the recipe at every end of the space, one change at a time.

        Raises:
            RecipeError: a key or metric that the recipe or its model does not have, or a value of the wrong kind; it is
                named.
        """
        _ = self.judged
        for key, range_ in self.space.items():
            for end in range_.ends:
                recipe = changed(self.recipe, {key: end})
                if key == "model" or key.startswith("config."):
                    fresh_model(recipe)
        if self.sampler == "grid":
            grid(self.space)


def tune(search: Search, trials: int, folder: Path, data: Path | None = None) -> Iterator[Result]:
    """Run trials until the study in ``folder`` has ``trials``, or all points of its grid; yield each when it ends.

    An existing study is continued, and a trial that was killed is resumed. The draws depend on the recipe's seed, the
    trial's number and the trials before it, so a study that was interrupted ends as an uninterrupted one. ``folder``
    then has a run for each trial, trials.csv, search.png and, once a trial is complete, best.toml.

    Raises:
        RecipeError: as ``Search.check``.
        RunError: the folder holds another search, or a trial's folder holds a run of another recipe.
        DataError: the data set cannot be obtained.
    """
    search.check()
    study = _study(search, folder)
    while trial := _next(search, study, trials):
        _run(search, study, trial, _folder(folder, trial.number), data)
        found = _write(search, study, folder)
        yield next(result for result in found if result.number == trial.number)
    # Written again for a search that was killed after a trial and before its files.
    _write(search, study, folder)


def results(search: Search, folder: Path) -> list[Result]:
    """All trials of the study in ``folder`` that have ended, in order."""
    return _ended(search, _study(search, folder), folder)


class Pruning(Callback):
    """Reports the metric to the trial after every epoch, and ends a run that the study's pruner rejects."""

    def __init__(self, trial: Trial, metric: str) -> None:
        self.trial, self.metric = trial, metric

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the metric, unless the run has already reported this epoch before it was killed.

        Raises:
            TrialPruned: the pruner rejects the trial.
        """
        epoch = trainer.current_epoch
        if epoch not in _frozen(self.trial).intermediate_values:
            self.trial.report(float(trainer.callback_metrics[self.metric]), epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def _frozen(trial: Trial) -> FrozenTrial:
    return trial.study.get_trials(deepcopy=False)[trial.number]


def _next(search: Search, study: Study, trials: int) -> Trial | None:
    """The trial that was killed, or a new one; None when there are enough, or the grid has no more points."""
    states = [(trial.state, trial) for trial in study.get_trials(deepcopy=False)]
    killed = [trial for state, trial in states if state == TrialState.RUNNING]
    number = killed[0].number if killed else sum(state.is_finished() for state, _ in states)
    study.sampler = _sampler(search, number)
    if killed:
        # A study has no public way to resume a trial that another process began.
        return Trial(study, killed[0]._trial_id)
    if number >= trials:
        return None
    if search.sampler == "grid" and number == len(states):
        points = _shuffled_grid(search)
        if number >= len(points):
            return None
        study.enqueue_trial(points[number])
    return study.ask()


def _run(search: Search, study: Study, trial: Trial, run: Path, data: Path | None) -> None:
    try:
        recipe = changed(search.recipe, {key: range_.draw(key, trial) for key, range_ in search.space.items()})
        done = fit(recipe, run, data, callbacks=[Pruning(trial, search.judged.validation)])
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (RecipeError, DivergedError) as error:
        # Values that are valid one by one need not be valid together, or may diverge.
        trial.set_user_attr(REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
    except TrainingError:
        # The user can fix this error; the trial is then resumed.
        raise
    except Exception as error:
        trial.set_user_attr(REASON, repr(error))
        # A batch too large for the device would fail again: the next command starts the next trial.
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        assert done.kept  # a run that has ended has a row
        study.tell(trial, done.kept[search.judged.validation])


def _write(search: Search, study: Study, folder: Path) -> list[Result]:
    found = _ended(search, study, folder)
    if found:
        write_csv(found, search.judged, folder / "trials.csv")
        draw(found, search.space, search.judged, folder / "search.png")
    if winner := best(found, search.judged):
        origin = f"{winner.run.name} of {len(found)}, {search.sampler}: {search.judged.validation} {winner.value:.4f}"
        write_recipe(changed(search.recipe, winner.changes), origin, folder / BEST)
    return found


def _result(search: Search, trial: FrozenTrial, folder: Path) -> Result:
    states: dict[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    return Result(
        number=trial.number,
        state=states.get(trial.state, "failed"),
        value=trial.value,
        epochs=len(trial.intermediate_values),
        changes={key: search.space[key].plain(value) for key, value in trial.params.items()},
        run=_folder(folder, trial.number),
        reason=trial.user_attrs.get(REASON, ""),
    )


def _folder(folder: Path, number: int) -> Path:
    return folder / f"trial-{number:03}"


def _ended(search: Search, study: Study, folder: Path) -> list[Result]:
    return [_result(search, trial, folder) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _study(search: Search, folder: Path) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / FILE}",
        study_name=search.recipe.name,
        direction="maximize" if search.judged.better == "max" else "minimize",
        pruner=_pruner(search),
        load_if_exists=True,
    )
    said = _described(search)
    if not study.user_attrs:
        study.set_user_attr("search", said)
    elif not _same(study.user_attrs.get("search"), said):
        raise RunError(f"{folder} holds another search; choose another --output or remove it")
    return study


def _described(search: Search) -> dict[str, Any]:
    space = {key: range_.model_dump(mode="json") for key, range_ in search.space.items()}
    how = {"sampler": search.sampler, "metric": search.judged.validation, "prune": search.prune}
    return {"recipe": search.recipe.model_dump(mode="json"), "space": space, **how}


def _same(earlier: Any, said: dict[str, Any]) -> bool:
    if not isinstance(earlier, dict):
        return False
    try:
        # Parsed, so that a key which recipes have gained since does not count as a difference.
        recipe = parse_recipe(earlier["recipe"], FILE).model_dump(mode="json")
    except (KeyError, RecipeError, ValidationError):
        return False
    return json.dumps({**earlier, "recipe": recipe}, sort_keys=True) == json.dumps(said, sort_keys=True)


def _shuffled_grid(search: Search) -> list[dict[str, Any]]:
    points = grid(search.space)
    random.Random(search.recipe.seed).shuffle(points)
    return [{key: search.space[key].stored(value) for key, value in point.items()} for point in points]


def _sampler(search: Search, number: int) -> BaseSampler:
    seed = int(np.random.SeedSequence((search.recipe.seed, number)).generate_state(1)[0])
    return TPESampler(seed=seed) if search.sampler == "tpe" else RandomSampler(seed)


def _pruner(search: Search) -> BasePruner:
    return MedianPruner(STARTUP, n_warmup_steps=search.recipe.epochs // 5) if search.prune else NopPruner()
