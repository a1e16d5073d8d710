"""tune, folds, bag, find-rate: each from the command line to the next command it names."""

from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner

from tests.training.tiny import Tiny
from training.commands.bag import bag
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.commands.find_rate import find_rate
from training.commands.folds import folds
from training.commands.train import train
from training.commands.tune import tune

pytestmark = pytest.mark.fit

SMALL = (
    "epochs=1",
    "batch_size=32",
    "validation=40",
    "optimiser.learning_rate=0.01",
    "gate.accuracy=0.1",
    "ema=0",
    "temperature=false",
)


@pytest.fixture
def at_hand(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where LECTORIUM_DATA has the tiny set."""
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(command: Command, *arguments: str, changes: tuple[str, ...] = SMALL) -> str:
    words = [*arguments, *(word for change in changes for word in ("--set", change))]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(command: Command, *arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert done.output.count("\n") == 1
    return done.output


def test_a_search_ends_with_a_recipe_to_train(at_hand: Path) -> None:
    Path("space.toml").write_text("batch_size = [16, 32]\n[optimiser]\nlearning_rate = [0.01, 1e-6]\n")
    said = called(tune, "softmax", "--space", "space.toml", "--set-range", "epochs=[1, 2]", "--trials", "2")
    assert "trial-000: 0." in said
    assert "trial-001: 0." in said
    assert "best: trial-00" in said
    assert "next: lectorium train runs/softmax-tune/best.toml" in said
    assert "trial-002: 0." in called(
        tune, "softmax", "--space", "space.toml", "--set-range", "epochs=[1, 2]", "--trials", "3"
    )
    assert "runs/softmax: validation accuracy 0." in called(train, "runs/softmax-tune/best.toml", changes=())


def test_a_grid_is_asked_for_by_name(at_hand: Path) -> None:
    said = called(tune, "softmax", "--set-range", "batch_size=[16, 32]", "--sampler", "grid", "--output", "search",
                  "--metric", "validation_loss", "--no-prune")  # fmt: skip
    assert said.count("complete after 1 epochs") == 3  # two trials, and the best again
    assert {path.name for path in Path("search").iterdir()} == {
        "best.toml", "search.db", "search.png", "trial-000", "trial-001", "trials.csv",
    }  # fmt: skip


def test_folds_end_with_mean_and_deviation(at_hand: Path) -> None:
    said = called(folds, "softmax", "--folds", "2")
    assert "runs/softmax-folds/fold-1: validation accuracy 0." in said
    assert "validation accuracy 0." in said.splitlines()[-2]
    assert said.splitlines()[-2].endswith("over 2 folds")
    assert " ± " in said.splitlines()[-1]


@pytest.mark.export
def test_members_end_with_the_command_that_makes_one_package_of_them(at_hand: Path) -> None:
    said = called(bag, "softmax", "--members", "2")
    assert "runs/softmax-bag-0: accuracy 0." in said
    following = said.splitlines()[-1]
    assert following == "next: lectorium export runs/softmax-bag-0 runs/softmax-bag-1 --name softmax-bag"
    words = following.removeprefix("next: lectorium export ").split()
    assert "zoo/softmax-bag/1: test accuracy 0." in called(export, *words, "--repository", "zoo", changes=())
    assert "softmax-bag/1" in called(evaluate, "softmax-bag", "--repository", "zoo", changes=())


def test_a_rate_is_suggested_beside_the_recipes(at_hand: Path) -> None:
    said = called(find_rate, "softmax", "--lowest", "1e-5", "--steps", "40")
    assert "runs/softmax-rate.png: " in said
    suggested = float(said.partition("--set optimiser.learning_rate=")[2].partition(";")[0])
    assert 1e-5 < suggested < 1.0
    assert said.endswith("; the recipe has 0.01\n")
    assert Path("runs/softmax-rate.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_ones_own_images_is_searched_and_folded(at_hand: Path, folder: Path) -> None:
    said = called(tune, "softmax", "--data", str(folder), "--set-range", "batch_size=[16]", "--trials", "1",
                  changes=("epochs=1",))  # fmt: skip
    assert f"next: lectorium train runs/{folder.name}-tune/best.toml" in said
    said = called(folds, "softmax", "--data", str(folder), "--folds", "2", changes=("epochs=1",))
    assert f"runs/{folder.name}-folds/fold-1: " in said


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (tune, ("softmax",), "there is no range to search"),
        (tune, ("softmax", "--space", "none.toml"), "none.toml"),
        (tune, ("softmax", "--set-range", "rate=[1]"), "rate: unknown key; did you mean"),
        (tune, ("nothing", "--set-range", "epochs=[1]"), "no recipe 'nothing'"),
        (tune, ("softmax", "--set-range", "ema={low=0.1,high=0.9}", "--sampler", "grid"), "a grid needs points"),
        (folds, ("softmax", "--folds", "70000"), "too few for 70000 folds"),
        (folds, ("nothing",), "no recipe 'nothing'"),
        (bag, ("nothing",), "no recipe 'nothing'"),
        (find_rate, ("softmax", "--highest", "1e-9"), "it must rise"),
    ],
)
def test_what_can_be_put_right_is_one_line(
    at_hand: Path, command: Command, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(command, *arguments)


def test_a_search_without_a_complete_trial_is_an_error(at_hand: Path) -> None:
    words = ["softmax", "--set-range", "optimiser.learning_rate=[1e37]", "--trials", "1", "--metric", "validation_loss"]
    changes = (*SMALL, "optimiser.name=sgd")
    done = CliRunner().invoke(tune, [*words, *(word for change in changes for word in ("--set", change))])
    assert done.exit_code == 1
    assert "none of 1 trials is complete" in done.output
    assert not Path("runs/softmax-tune/best.toml").exists()
