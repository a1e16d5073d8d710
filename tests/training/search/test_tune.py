import csv
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import optuna
import pytest

from tests.training.tiny import Tiny, tiny_recipe
from tests.training.training_only import without_test_split
from training.checkpoint import read_checkpoint
from training.classification.recipe import ClassifierRecipe
from training.craft.metric import ACCURACY, LOSS
from training.errors import DataError, RecipeError, RunError
from training.fit import fit
from training.recipe import load_recipe
from training.search import tune as tune_module
from training.search.space import load_space
from training.search.trials import Result, best
from training.search.tune import Pruning, Search, results, tune

pytestmark = pytest.mark.fit

RATE = "optimiser.learning_rate={low = 1e-4, high = 1.0, log = true, points = 3}"
BATCH = "batch_size=[16, 64]"


def search(*changes: str, ranges: tuple[str, ...] = (RATE, BATCH), **how: Any) -> Search:
    return Search(tiny_recipe("epochs=2", *changes), load_space(None, ranges), **how)


def run(on: Search, trials: int, folder: Path, tiny: Tiny) -> list[Result]:
    return list(tune(on, trials, folder, tiny.folder))


class Done:
    """A run that costs nothing: its accuracy falls with the distance of the learning rate from 0.01."""

    def __init__(self, recipe: ClassifierRecipe, run: Path, data: Path | None, *, callbacks: Any) -> None:
        self.kept = {"validation_accuracy": 1 / (1 + abs(recipe.optimiser.learning_rate - 0.01))}


@pytest.fixture
def free(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """In the place of training, runs that cost nothing; the study, its samplers and its storage are the real ones."""
    monkeypatch.setattr(tune_module, "fit", Done)
    monkeypatch.setattr(tune_module, "draw", lambda *_: None)
    return tiny


def plain(found: list[Result]) -> list[Any]:
    return [(result.number, result.state, result.value, result.changes) for result in found]


def test_every_trial_is_a_run_and_the_best_a_recipe_that_gives_it_again(tiny: Tiny, tmp_path: Path) -> None:
    on = search(sampler="random")
    found = run(on, 4, tmp_path / "search", tiny)
    assert [result.number for result in found] == [0, 1, 2, 3]
    for result in found:
        done = read_checkpoint(result.run)
        assert done.finished
        assert done.recipe.optimiser.learning_rate == result.changes["optimiser.learning_rate"]
        assert done.recipe.batch_size == result.changes["batch_size"]
        assert result.value == done.history[-1]["validation_accuracy"]
    winner = best(found, ACCURACY)
    assert winner is not None
    assert winner.value == max(result.value or 0 for result in found)
    again = load_recipe(str(tmp_path / "search" / "best.toml"))
    assert again == read_checkpoint(winner.run).recipe
    assert fit(again, tmp_path / "again", tiny.folder).history[-1]["validation_accuracy"] == winner.value


def test_the_table_has_a_line_for_each_trial_and_the_picture_is_drawn(tiny: Tiny, tmp_path: Path) -> None:
    found = run(search(sampler="random"), 2, tmp_path, tiny)
    with (tmp_path / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        "trial", "state", "validation_accuracy", "epochs", "optimiser.learning_rate", "batch_size", "run", "reason",
    ]  # fmt: skip
    assert [(line["state"], float(line["validation_accuracy"]), int(line["epochs"])) for line in lines] == [
        (result.state, result.value, 2) for result in found
    ]
    assert [Path(line["run"]) for line in lines] == [tmp_path / "trial-000", tmp_path / "trial-001"]
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def test_a_grid_is_tried_whole_once_and_then_ends(free: Tiny, tmp_path: Path) -> None:
    on = search(sampler="grid")
    found = run(on, 100, tmp_path, free)
    tried = {(round(result.changes["optimiser.learning_rate"], 6), result.changes["batch_size"]) for result in found}
    assert len(found) == len(tried) == 6
    assert {rate for rate, _ in tried} == {1e-4, 1e-2, 1.0}
    assert run(on, 100, tmp_path, free) == []
    assert len(results(on, tmp_path)) == 6


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_a_search_in_two_sittings_is_the_search_in_one(sampler: Any, free: Tiny, tmp_path: Path) -> None:
    ranges = ("optimiser.learning_rate={low = 1e-4, high = 1.0, points = 20}", "epochs={low = 1, high = 100}")
    on = search(ranges=ranges, sampler=sampler)
    parts = run(on, 4, tmp_path / "parts", free) + run(on, 13, tmp_path / "parts", free)
    whole = run(on, 13, tmp_path / "whole", free)
    assert plain(parts) == plain(whole)
    assert len({str(result.changes) for result in whole}) == 13
    another = search("seed=1", ranges=ranges, sampler=sampler)
    assert [r.changes for r in run(another, 2, tmp_path / "another", free)] != [r.changes for r in whole[:2]]


def test_tpe_draws_near_what_was_good(free: Tiny, tmp_path: Path) -> None:
    def distance(sampler: Any) -> float:
        on = search(ranges=("optimiser.learning_rate={low = 1e-4, high = 1.0}",), sampler=sampler)
        found = run(on, 25, tmp_path / sampler, free)[15:]
        return statistics.fmean(abs(result.changes["optimiser.learning_rate"] - 0.01) for result in found)

    assert distance("tpe") < distance("random") / 2


KILLED = """
import sys, time
from pathlib import Path
from tests.training.tiny import make_tiny
from tests.training.search.test_tune import search
from training.classification.classifier import Classifier
from training.data import catalogue
from training.search.tune import tune

def wait(self):
    if self.current_epoch == 1 and len(list(Path(sys.argv[2]).glob("trial-*"))) == 2:
        print("in trial 1", flush=True)
        time.sleep(60)

tiny = make_tiny(Path(sys.argv[1]))
catalogue.SOURCES = {"mnist": tiny.source}
Classifier.on_train_epoch_start = wait
list(tune(search(sampler="random"), 3, Path(sys.argv[2]), tiny.folder))
"""


def test_a_killed_search_goes_on_with_the_trial_it_was_in(tiny: Tiny, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "data"), str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        assert any("in trial 1" in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    on = search(sampler="random")
    before = read_checkpoint(tmp_path / "killed" / "trial-001").history
    assert len(before) == 1
    assert [result.number for result in run(on, 3, tmp_path / "killed", tiny)] == [1, 2]
    assert read_checkpoint(tmp_path / "killed" / "trial-001").history[:1] == before  # to the second
    run(on, 3, tmp_path / "unbroken", tiny)
    assert plain(results(on, tmp_path / "killed")) == plain(results(on, tmp_path / "unbroken"))


def test_an_epoch_that_is_trained_again_after_a_kill_keeps_its_value(tiny: Tiny) -> None:
    """The kill fell between the report and the checkpoint."""
    trial = optuna.create_study().ask()
    pruning = Pruning(trial, "validation_loss")
    for value in (0.5, 0.4):
        trainer: Any = SimpleNamespace(current_epoch=3, callback_metrics={"validation_loss": value})
        pruning.on_train_epoch_end(trainer, pl.LightningModule())
    assert trial.study.trials[0].intermediate_values == {3: 0.5}


def test_a_trial_that_is_below_the_median_ends_early_and_is_never_the_best(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "STARTUP", 1)
    # Shuffled by the seed, the good rate comes first.
    ranges = ("optimiser.learning_rate=[1e-6, 0.05]",)
    on = search("epochs=6", "seed=1", ranges=ranges, sampler="grid")
    good, bad = run(on, 2, tmp_path / "pruned", tiny)
    assert (good.changes["optimiser.learning_rate"], good.state, good.epochs) == (0.05, "complete", 6)
    assert (bad.state, bad.epochs) == ("pruned", 2)  # a fifth of the epochs is waited for
    assert best([bad, good], ACCURACY) == good
    assert best([bad], ACCURACY) is None
    whole = search("epochs=6", "seed=1", ranges=ranges, sampler="grid", prune=False)
    assert [result.epochs for result in run(whole, 2, tmp_path / "whole", tiny)] == [6, 6]


def test_a_metric_that_the_recipe_lacks_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="metric: Input should be one of 'validation_loss', 'validation_accuracy'"):
        run(search(metric="validation_acuracy"), 1, tmp_path, tiny)


def test_the_loss_is_made_small(tiny: Tiny, tmp_path: Path) -> None:
    on = search(ranges=("optimiser.learning_rate=[1e-6, 0.05]",), sampler="grid", metric="validation_loss")
    winner = best(run(on, 2, tmp_path, tiny), LOSS)
    assert winner is not None
    assert winner.changes == {"optimiser.learning_rate": 0.05}
    assert winner.value == read_checkpoint(winner.run).history[-1]["validation_loss"]


def test_what_has_no_epochs_is_searched_too(tiny: Tiny, tmp_path: Path) -> None:
    """The lecture's own example: k and the distance of nearest neighbours (I2DL II)."""
    recipe = load_recipe("neighbours", ["examples=150", "validation=40"])
    ranges = ("config.neighbours=[1, 150]", 'config.distance=["l1", "l2"]')
    found = run(Search(recipe, load_space(None, ranges), "grid"), 4, tmp_path, tiny)
    winner = best(found, ACCURACY)
    assert winner is not None
    assert winner.changes["config.neighbours"] == 1  # all 150 vote alike for every image
    assert [(result.state, result.epochs) for result in found] == [("complete", 0)] * 4


def test_a_run_that_diverges_is_a_failed_trial_and_the_search_goes_on(tiny: Tiny, tmp_path: Path) -> None:
    on = search("optimiser.name=sgd", ranges=("optimiser.learning_rate=[1e37, 0.05]",), sampler="grid",
                metric="validation_loss", prune=False)  # fmt: skip
    found = {result.changes["optimiser.learning_rate"]: result for result in run(on, 2, tmp_path, tiny)}
    assert (found[1e37].state, found[1e37].value) == ("failed", None)
    assert "the train loss is" in found[1e37].reason
    assert found[0.05].state == "complete"


@pytest.mark.parametrize(
    ("range_", "named"),
    [
        ("optimiser.rate=[1, 2]", "optimiser.rate: unknown key; the keys are name, learning_rate"),
        ("epochs={low = -1, high = 3}", "epochs: Input should be greater"),
        ("ema={low = 0.5, high = 1.0}", "ema: Input should be less"),
        ('model=["mlp", "transformer"]', "no model 'transformer'"),
        ("config.width=[1, 2]", "no 'width'"),
    ],
)
def test_a_space_of_what_the_recipe_does_not_have_is_refused_before_any_trial(
    range_: str, named: str, tiny: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as error:
        run(search(ranges=(range_,)), 3, tmp_path / "search", tiny)
    assert named in str(error.value)
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    "other",
    [
        search("seed=1", sampler="grid"),
        search(sampler="random"),
        search(sampler="grid", metric="validation_loss"),
        search(sampler="grid", ranges=(RATE, "batch_size=[16, 65]")),
    ],
)
def test_a_folder_of_another_search_is_not_gone_on_with(other: Search, free: Tiny, tmp_path: Path) -> None:
    run(search(sampler="grid"), 1, tmp_path, free)
    with pytest.raises(RunError, match="holds another search"):
        run(other, 2, tmp_path, free)


def test_what_can_be_put_right_leaves_the_trial_to_go_on_with(tiny: Tiny, tmp_path: Path) -> None:
    on = search(sampler="random")
    with pytest.raises(DataError):
        list(tune(on, 2, tmp_path / "search", tmp_path / "nothing"))
    assert results(on, tmp_path / "search") == []
    assert [result.number for result in run(on, 2, tmp_path / "search", tiny)] == [0, 1]


def test_a_fault_ends_the_command_and_its_trial(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(self: Pruning, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        raise RuntimeError("out of memory")

    on = search(sampler="random")
    with monkeypatch.context() as patch:
        patch.setattr(Pruning, "on_train_epoch_end", fault)
        with pytest.raises(RuntimeError, match="out of memory"):
            run(on, 2, tmp_path, tiny)
    assert [result.state for result in results(on, tmp_path)] == ["failed"]
    assert [result.state for result in run(on, 2, tmp_path, tiny)] == ["complete"]


def test_the_test_split_may_be_missing(tiny: Tiny, tmp_path: Path) -> None:
    data = without_test_split(tiny, tmp_path / "data")
    assert [result.state for result in tune(search(sampler="random"), 1, tmp_path / "search", data)] == ["complete"]
