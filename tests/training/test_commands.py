import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from service.package import CARD, InitialWeights, Package, read_package, sha256
from tests.training.tiny import Tiny
from training.checkpoint import read_checkpoint
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.commands.train import train
from training.craft.transfer import Transfer

pytestmark = pytest.mark.fit

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "models" / "zoo"
SMALL = ("epochs=3", "batch_size=32", "validation=40", "optimiser.learning_rate=0.01", "gate.accuracy=0.5", "ema=0")


@pytest.fixture
def at_hand(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where LECTORIUM_DATA has the tiny set."""
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changes(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


@pytest.mark.export
def test_from_recipe_to_measured_package(at_hand: Path) -> None:
    cli = CliRunner()
    trained = cli.invoke(train, ["mlp", *changes(*SMALL)], catch_exceptions=False)
    assert trained.exit_code == 0
    assert "next: lectorium export runs/mlp" in trained.output
    exported = cli.invoke(export, ["runs/mlp", "--repository", "zoo", "--default"], catch_exceptions=False)
    assert exported.exit_code == 0
    card = read_package(at_hand / "zoo" / "mlp" / "1").classifier
    assert card.serving.default
    accuracy = card.provenance.metrics["accuracy"]
    assert f"zoo/mlp/1: test accuracy {accuracy:.4f}" in exported.output
    measured = cli.invoke(evaluate, ["mlp", "--repository", "zoo"], catch_exceptions=False)
    assert measured.exit_code == 0
    assert f"accuracy         {accuracy:.4f}   card {accuracy:.4f}" in measured.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "Error: no recipe 'nothing'"),
        (["lenet"], "Error: no recipe 'lenet'; did you mean 'lenet5' or "),
        (["mlp", "--set", "epoch=3"], "epoch: unknown key; did you mean 'epochs'?"),
        (["mlp", "--set", "model=lenet"], "; did you mean 'lenet5' or "),
        (["mlp", "--set", "dataset=minst"], "; did you mean 'mnist'?"),
        (
            ["mlp", "--weights", "nowhere.pth", "--set", "validation=40"],
            "transfer.weights: nowhere.pth: is not a file of weights",
        ),
        (["mlp", "--data", "."], "Error: "),
        ([], "RECIPE is missing; --list names the shipped ones"),
        (
            ["mlp", "--set", "dataset=imagenet"],
            "Error: no data set 'imagenet': it is not a folder, and not one of mnist",
        ),
    ],
)
def test_what_can_be_put_right_is_one_line(at_hand: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(train, arguments)
    assert done.exit_code in (1, 2)
    assert message in done.output
    assert "Traceback" not in done.output


def test_from_a_folder_of_images_to_a_run(at_hand: Path, folder: Path) -> None:
    """The first of the three commands of the README."""
    quick = changes("epochs=2", "config.widths=[4, 8, 16]", "config.depths=[1, 1, 1]")
    done = CliRunner().invoke(train, ["folder-resnet20", "--data", str(folder), *quick], catch_exceptions=False)
    assert done.exit_code == 0
    assert "ok: the first loss is" in done.output
    assert "next: lectorium export runs/digits" in done.output
    checkpoint = read_checkpoint(at_hand / "runs" / "digits")
    assert checkpoint.recipe.dataset == str(folder)
    assert checkpoint.config["classes"] == 10
    assert checkpoint.dataset.splits["validation"] > 0


def test_training_goes_on_from_a_file_of_weights(at_hand: Path, finished_run: Path) -> None:
    torch.save(read_checkpoint(finished_run).weights, "weights.pth")
    command = ["softmax", "--weights", "weights.pth", *changes(*SMALL)]
    assert CliRunner().invoke(train, command, catch_exceptions=False).exit_code == 0
    assert read_checkpoint(at_hand / "runs" / "softmax").recipe.transfer == Transfer(weights="weights.pth")


@pytest.mark.export
def test_training_starts_from_a_package_that_the_card_of_the_new_one_names(at_hand: Path) -> None:
    lenet = ZOO / "lenet5" / "1"
    command = ["lenet5", "--weights", str(lenet), *changes(*SMALL, "epochs=1", "augmentation={}", "schedule={}")]
    trained = CliRunner().invoke(train, [*command, "--set", "transfer.fresh=[]"], catch_exceptions=False)
    assert trained.exit_code == 0
    assert read_checkpoint(at_hand / "runs" / "lenet5").history[0]["validation_accuracy"] > 0.9
    exported = CliRunner().invoke(export, ["runs/lenet5", "--repository", "zoo", "--no-deconv"], catch_exceptions=False)
    assert exported.exit_code == 0
    said = read_package(at_hand / "zoo" / "lenet5" / "1").classifier.provenance
    wanted = InitialWeights(name="lenet5", version=1, sha256=sha256(lenet / CARD))
    parent = read_package(lenet).classifier.provenance
    known = {"dataset": parent.dataset, "trained_commit": parent.trained_commit}
    assert said.initial_weights == wanted.model_copy(update=known)


@pytest.mark.parametrize(
    ("recipe", "weights", "message"),
    [
        ("fashion-vgg7", "fashion-vgg7-int8/1", "of fashion-vgg7-int8/1 are quantised to 8 bits (int8); training"),
        ("lenet5", "lenet5", "name one, such as "),
        ("lenet5", "mlp/1", "does not fit LeNet5: 8 missing: c1.weight"),
        ("lenet5", "nowhere/1/model.onnx", "model.json: no such file"),
        (
            "language-gru",
            "language-gru/1",
            "transfer (--weights) is not supported: a language recogniser starts from random weights",
        ),
    ],
)
def test_a_package_that_training_cannot_start_from_is_one_line(
    at_hand: Path, recipe: str, weights: str, message: str
) -> None:
    narrow = [] if recipe == "language-gru" else changes("dataset=mnist", "validation=40")
    done = CliRunner().invoke(train, [recipe, "--weights", str(ZOO / weights), *narrow])
    assert done.exit_code == 1
    assert message in done.output
    assert "weights_only" not in done.output


def test_a_strict_run_that_fails_a_check_does_not_begin(at_hand: Path) -> None:
    hopeless = changes("model=vgg7-28", "config.normalisation=none", "config.activation=sigmoid", *SMALL)
    done = CliRunner().invoke(train, ["mlp", "--strict", *hopeless])
    assert done.exit_code == 1
    assert "Error: sanity checks: after 100 steps" in done.output


def test_the_recipes_are_listed_with_what_they_must_reach() -> None:
    lines = CliRunner().invoke(train, ["--list"], catch_exceptions=False).output.splitlines()
    (lenet,) = (line for line in lines if line.startswith("lenet5 "))
    assert lenet.split() == ["lenet5", "accuracy", ">=", "0.99", "LeNet-5", "on", "mnist"]
    (transfer,) = (line for line in lines if line.startswith("mnist-from-fashion "))
    assert transfer.endswith("on mnist from runs/fashion-resnet20")


def test_a_key_that_the_configuration_does_not_know_is_refused(at_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTORIUM_DATUM", "x")
    done = CliRunner().invoke(evaluate, ["mlp"])
    assert done.exit_code == 1
    assert "datum" in done.output


def python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sofmax"], "no package 'sofmax'; did you mean 'softmax'?"),
        (["zebra"], "no package 'zebra'"),
        (["softmax", "--version", "7"], "softmax has no version 7; it has 1"),
        (["softmax", "--data", "minst"], "no data set 'minst': it is not a folder"),
        (["softmax", "--data", "minst"], "; did you mean 'mnist'?"),
    ],
)
def test_what_cannot_be_evaluated_is_named_with_the_nearest(
    at_hand: Path, package: Package, arguments: list[str], message: str
) -> None:
    done = CliRunner().invoke(evaluate, [*arguments, "--repository", str(package.folder.parents[1])])
    assert done.exit_code == 1
    assert message in done.output


def test_the_commands_load_nothing_heavy_until_they_run() -> None:
    done = python(
        "import sys, training.commands.evaluate, training.commands.export, training.commands.train\n"
        "print(sorted({'torch', 'lightning', 'onnx', 'onnxruntime', 'matplotlib'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["torch", "lightning"])
def test_a_missing_library_is_named_with_what_to_install(missing: str) -> None:
    done = python(
        f"import sys; sys.modules[{missing!r}] = None\nfrom training.commands.train import train\ntrain(['softmax'])"
    )
    assert done.returncode == 1
    assert f"Error: training needs {missing}, which is not installed: pip install 'lectorium[train]'" in done.stderr
