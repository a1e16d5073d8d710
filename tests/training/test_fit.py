import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from training import fit as fit_module
from training.checkpoint import FILE, Checkpoint, read_checkpoint
from training.errors import RecipeError, RunError
from training.fit import fit, fresh_model
from training.recipe import Recipe

EVERYTHING = ("augmentation.shift=1", "augmentation.elastic=0.3", "ema=0.9", "schedule.name=cosine")


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name


def metrics(checkpoint: Checkpoint) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in checkpoint.history]


def test_training_learns_and_leaves_checkpoint_history_and_picture(tiny: Tiny, tmp_path: Path) -> None:
    done = fit(tiny_recipe("epochs=10"), tmp_path, tiny.folder)
    assert done.finished
    assert done.history[-1]["train_loss"] < done.history[0]["train_loss"] / 3
    assert done.history[-1]["validation_accuracy"] > 0.6
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "history.csv", "curve.png"}


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
from training import data
from training.classifier import Classifier
from training.fit import fit

def wait(self):
    if self.current_epoch == 2:
        print("in epoch 2", flush=True)
        time.sleep(60)

tiny = make_tiny(Path(sys.argv[1]) / "data")
data.SOURCES = {"mnist": tiny.source}
Classifier.on_train_epoch_start = wait
fit(tiny_recipe(*sys.argv[3:]), Path(sys.argv[2]), tiny.folder)
"""


def kill_in_epoch_2(changes: tuple[str, ...], folder: Path, run: Path) -> None:
    """Train in a process of its own and kill it, for real, when two epochs are done and the third has begun."""
    command = [sys.executable, "-c", KILLED_AFTER_AN_EPOCH, str(folder), str(run), *changes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert any("in epoch 2" in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(tiny: Tiny, tmp_path: Path) -> None:
    changes = ("epochs=4", *EVERYTHING)
    kill_in_epoch_2(changes, tmp_path, tmp_path / "killed")
    before_the_kill = read_checkpoint(tmp_path / "killed").history
    assert len(before_the_kill) == 2
    resumed = fit(tiny_recipe(*changes), tmp_path / "killed", tiny.folder)
    unbroken = fit(tiny_recipe(*changes), tmp_path / "unbroken", tiny.folder)
    assert resumed.history[:2] == before_the_kill  # to the second: those epochs were not trained again
    assert_same_weights(resumed, unbroken)
    assert metrics(resumed) == metrics(unbroken)


def test_a_finished_run_is_not_trained_again(tiny: Tiny, finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "_train", lambda *_, **__: pytest.fail("trained"))
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
    def weights(recipe: Recipe) -> torch.Tensor:
        return fresh_model(recipe).get_parameter("scores.weight")

    state = torch.random.get_rng_state()
    assert torch.equal(weights(tiny_recipe()), weights(tiny_recipe()))
    assert not torch.equal(weights(tiny_recipe()), weights(tiny_recipe("seed=1")))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_unknown_model_is_refused_before_anything_is_written(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no model 'transformer'"):
        fit(tiny_recipe("model=transformer"), tmp_path / "run", tiny.folder)
    assert not (tmp_path / "run").exists()
