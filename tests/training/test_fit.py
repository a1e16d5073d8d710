import json
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from tests.training.tiny import Tiny, tiny_recipe
from training import fit as fit_module
from training.checkpoint import BEST, FILE, Checkpoint, read_checkpoint
from training.classification.recipe import ClassifierRecipe
from training.errors import DivergedError, RecipeError, RunError
from training.fit import TENSORBOARD, fit
from training.history import Row
from training.start import fresh_model

pytestmark = pytest.mark.fit

RUN = {FILE, BEST, "history.csv", "curve.png", "sanity.json", TENSORBOARD}
EVERYTHING = ("augmentation.shift=1", "augmentation.elastic=0.3", "ema=0.9", "schedule.name=cosine")
IMPATIENT = ("early_stopping.patience=2", "early_stopping.metric=validation_accuracy", "early_stopping.min_delta=0.5")
# One good epoch, and then steps far too large.
WORSE = ("schedule={name='table', table=[[0, 1], [1, 10000]]}", "optimiser={name='sgd', learning_rate=0.01}")
BEST_BY_ACCURACY = ("keep=best", "early_stopping.metric=validation_accuracy")


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name


def measured(row: Row | None) -> Row:
    """What of a row the clock has no say in."""
    assert row is not None
    return {key: value for key, value in row.items() if key != "seconds"}


def test_training_learns_and_leaves_checkpoint_history_and_picture(tiny: Tiny, tmp_path: Path) -> None:
    done = fit(tiny_recipe("epochs=10"), tmp_path, tiny.folder)
    assert done.finished
    assert done.history[-1]["train_loss"] < done.history[0]["train_loss"] / 3
    assert done.history[-1]["validation_accuracy"] > 0.6
    assert {path.name for path in tmp_path.iterdir()} == RUN


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe("epochs=1", *EVERYTHING)
    one, two = (fit(recipe, tmp_path / name, tiny.folder) for name in ("one", "two"))
    other = fit(tiny_recipe("epochs=1", "seed=7", *EVERYTHING), tmp_path / "other", tiny.folder)
    assert_same_weights(one, two)
    assert not torch.equal(one.weights["scores.weight"], other.weights["scores.weight"])


KILLED_AFTER_AN_EPOCH = """
import sys, time
from pathlib import Path
from tests.training.tiny import make_tiny, tiny_recipe
from training.data import catalogue
from training.classification.classifier import Classifier
from training.fit import fit

def wait(self):
    if self.current_epoch == 2:
        print("in epoch 2", flush=True)
        time.sleep(60)

tiny = make_tiny(Path(sys.argv[1]) / "data")
catalogue.SOURCES = {"mnist": tiny.source}
Classifier.on_train_epoch_start = wait
fit(tiny_recipe(*sys.argv[4:], model=sys.argv[3]), Path(sys.argv[2]), tiny.folder)
"""


def kill_in_epoch_2(model: str, changes: tuple[str, ...], folder: Path, run: Path) -> None:
    """Train in a process of its own and kill it, for real, when two epochs are done and the third has begun."""
    command = [sys.executable, "-c", KILLED_AFTER_AN_EPOCH, str(folder), str(run), model, *changes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert any("in epoch 2" in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        pytest.param("softmax", EVERYTHING, id="distortions, average, schedule"),
        pytest.param("mlp", ("config.dropout=0.5", "ema=0", *BEST_BY_ACCURACY), id="dropout, best epoch"),
        pytest.param(
            "lenet5", ("precision=bf16-mixed", "clipping.at=0.1", *IMPATIENT), id="bf16, clipping, early stop"
        ),
    ],
)
def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(
    tiny: Tiny, tmp_path: Path, model: str, changes: tuple[str, ...]
) -> None:
    changes = ("epochs=4", *changes)
    kill_in_epoch_2(model, changes, tmp_path, tmp_path / "killed")
    before_the_kill = read_checkpoint(tmp_path / "killed").history
    assert len(before_the_kill) == 2
    resumed = fit(tiny_recipe(*changes, model=model), tmp_path / "killed", tiny.folder)
    unbroken = fit(tiny_recipe(*changes, model=model), tmp_path / "unbroken", tiny.folder)
    assert resumed.history[:2] == before_the_kill  # to the second: those epochs were not trained again
    assert_same_weights(resumed, unbroken)
    assert [measured(row) for row in resumed.history] == [measured(row) for row in unbroken.history]
    assert measured(resumed.kept) == measured(unbroken.kept)
    assert resumed.stopped == unbroken.stopped == ("early_stopping.patience=2" in changes)


class Interrupted(Exception):
    pass


class Interruption(pl.Callback):
    """Ends a run, as a kill would, when its second epoch begins."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise Interrupted


def test_a_run_goes_on_where_its_folder_was_moved_and_still_knows_its_best_epoch(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe(*WORSE, *BEST_BY_ACCURACY)
    unbroken = fit(recipe, tmp_path / "unbroken", tiny.folder)
    with pytest.raises(Interrupted):
        fit(recipe, tmp_path / "first", tiny.folder, callbacks=[Interruption()])
    (tmp_path / "first").rename(tmp_path / "second")
    resumed = fit(recipe, tmp_path / "second", tiny.folder)
    best = max(unbroken.history, key=lambda row: row["validation_accuracy"])
    assert measured(resumed.kept) == measured(unbroken.kept) == measured(best)
    assert_same_weights(resumed, unbroken)


def test_the_best_epoch_is_kept_where_the_recipe_says_so(tiny: Tiny, tmp_path: Path) -> None:
    changes = (*WORSE, "early_stopping.metric=validation_accuracy")
    best, last = (fit(tiny_recipe(*changes, f"keep={keep}"), tmp_path / keep, tiny.folder) for keep in ("best", "last"))
    accuracies = [row["validation_accuracy"] for row in last.history]
    assert measured(last.kept) == measured(last.history[-1])
    assert measured(best.kept) == measured(best.history[accuracies.index(max(accuracies))])
    assert torch.load(tmp_path / "last" / BEST, weights_only=True)["epoch"] + 1 == best.kept["epoch"]  # type: ignore[index]


@pytest.mark.parametrize("metric", ["validation_loss", "validation_accuracy"])
def test_a_run_that_gets_no_better_is_stopped_and_finished(tiny: Tiny, tmp_path: Path, metric: str) -> None:
    impatient = ("early_stopping.patience=2", f"early_stopping.metric={metric}", "early_stopping.min_delta=9")
    done = fit(tiny_recipe("epochs=20", *impatient), tmp_path, tiny.folder)
    assert done.stopped
    assert done.finished
    assert len(done.history) == 3  # the first is the best there was, and two more


def test_a_patient_run_is_not_stopped(tiny: Tiny, tmp_path: Path) -> None:
    done = fit(tiny_recipe("early_stopping.patience=2"), tmp_path, tiny.folder)
    assert (done.stopped, len(done.history)) == (False, 3)


def test_a_loss_that_is_no_number_ends_the_run_with_what_to_do(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe("optimiser.learning_rate=1e30", "optimiser.name=sgd", model="mlp")
    with pytest.raises(DivergedError, match=r"epoch 1: the train loss is (nan|inf); try a lower learning rate"):
        fit(recipe, tmp_path, tiny.folder)


@pytest.mark.parametrize("by", ["norm", "value"])
def test_clipping_bounds_how_far_a_step_goes(tiny: Tiny, tmp_path: Path, by: str) -> None:
    plain = ("epochs=1", "batch_size=full", "optimiser.name=sgd", "optimiser.momentum=0", "optimiser.learning_rate=1")
    recipe = tiny_recipe(*plain, f"clipping.by={by}", "clipping.at=1e-3", "optimiser.weight_decay=0", "ema=0")
    done = fit(recipe, tmp_path, tiny.folder)
    start = fresh_model(recipe).state_dict()
    step = torch.cat([(done.weights[name] - start[name]).flatten() for name in start])
    size = float(step.norm() if by == "norm" else step.abs().max())
    assert size == pytest.approx(1e-3, rel=0.01)


def test_a_full_batch_is_one_step_an_epoch(tiny: Tiny, tmp_path: Path) -> None:
    fit(tiny_recipe("batch_size=full"), tmp_path, tiny.folder)
    assert torch.load(tmp_path / FILE, weights_only=True)["global_step"] == 3


def test_the_history_is_there_for_tensorboard(tiny: Tiny, finished_run: Path) -> None:
    events = EventAccumulator(str(finished_run / TENSORBOARD))
    events.Reload()
    history = read_checkpoint(finished_run).history
    for name in ("train_loss", "validation_accuracy", "learning_rate"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(row["epoch"], pytest.approx(row[name])) for row in history]


def test_what_the_checks_and_the_curve_say_is_told(tiny: Tiny, tmp_path: Path) -> None:
    lines: list[str] = []
    fit(tiny_recipe("epochs=5"), tmp_path, tiny.folder, say=lines.append)
    assert len(json.loads((tmp_path / "sanity.json").read_text())) == 3
    assert [line.partition(":")[0] for line in lines[:3]] == ["ok"] * 3
    assert lines[3].startswith("unrepresentative training split: both losses fell")  # 180 digits are few


def test_auxiliary_heads_are_trained_and_left_out_of_what_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    config = ("model=googlenet-28", "config.auxiliary=true", "config.scale=0.05", "epochs=1", "examples=40")
    recipe = tiny_recipe(*config, "optimiser.weight_decay=0")
    done = fit(recipe, tmp_path, tiny.folder)
    start = fresh_model(recipe).state_dict()
    for head in ("fc.weight", "aux1.fc2.weight", "aux2.fc2.weight"):
        assert not torch.equal(done.weights[head], start[head])
    model = done.model()
    assert not [name for name in model.state_dict() if name.startswith("aux")]
    assert torch.equal(model.get_parameter("fc.weight"), done.weights["fc.weight"])


def test_a_model_gets_as_many_classes_as_the_data_set_has(tiny: Tiny, tmp_path: Path) -> None:
    done = fit(tiny_recipe("epochs=1", 'classes=["3", "5", "8"]', "validation=10"), tmp_path, tiny.folder)
    assert done.config["classes"] == 3
    assert done.model()(torch.zeros(1, 1, 28, 28)).shape == (1, 3)


def test_two_classes_are_for_logistic_regression(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe("model=logistic", 'classes=["0", "1"]', "validation=10", "epochs=5")
    done = fit(recipe, tmp_path, tiny.folder)
    assert done.history[-1]["validation_accuracy"] > 0.9


def test_training_examples_can_be_few(tiny: Tiny, tmp_path: Path) -> None:
    assert fit(tiny_recipe("epochs=1", "examples=30"), tmp_path, tiny.folder).dataset.splits["training"] == 30


@pytest.mark.parametrize("change", [("fold={index = 1, of = 4}",), ("bootstrap=true",)])
def test_the_recipe_says_what_is_held_out(tiny: Tiny, tmp_path: Path, change: tuple[str, ...]) -> None:
    splits = fit(tiny_recipe("epochs=1", *change), tmp_path, tiny.folder).dataset.splits
    assert splits == (
        {"training": 165, "validation": 55} if "fold" in change[0] else {"training": 220, "validation": 77}
    )


def test_a_finished_run_is_not_trained_again(tiny: Tiny, finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "_trainer", lambda *_, **__: pytest.fail("trained"))
    assert fit(tiny_recipe(), finished_run, tiny.folder).finished


def test_a_run_of_another_recipe_is_not_gone_on_with(tiny: Tiny, finished_run: Path) -> None:
    with pytest.raises(RunError, match="another recipe"):
        fit(tiny_recipe("seed=3"), finished_run, tiny.folder)


def test_the_averaged_weights_are_what_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    plain = fit(tiny_recipe("epochs=1"), tmp_path / "plain", tiny.folder)
    averaged = fit(tiny_recipe("epochs=1", "ema=0.9"), tmp_path / "averaged", tiny.folder)
    start = fresh_model(tiny_recipe()).state_dict()["scores.weight"]
    moved, moved_less = (run.weights["scores.weight"] - start for run in (plain, averaged))
    assert 0 < moved_less.norm() < moved.norm()


def test_a_fresh_model_depends_on_the_seed_and_leaves_the_global_generator_alone() -> None:
    def weights(recipe: ClassifierRecipe) -> torch.Tensor:
        return fresh_model(recipe).get_parameter("scores.weight")

    state = torch.random.get_rng_state()
    assert torch.equal(weights(tiny_recipe()), weights(tiny_recipe()))
    assert not torch.equal(weights(tiny_recipe()), weights(tiny_recipe("seed=1")))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_half_precision_without_a_gpu_is_refused_instead_of_replaced(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="precision 16-mixed needs a GPU; bf16-mixed does not"):
        fit(tiny_recipe("precision=16-mixed"), tmp_path / "run", tiny.folder)


def test_training_leaves_the_process_own_generator_alone(tiny: Tiny, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    fit(tiny_recipe("epochs=1", "config.dropout=0.5", model="mlp"), tmp_path, tiny.folder)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_unknown_model_is_refused_before_anything_is_written(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no model 'transformer'"):
        fit(tiny_recipe("model=transformer"), tmp_path / "run", tiny.folder)
    assert not (tmp_path / "run").exists()
