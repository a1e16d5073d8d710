import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.package import read_package
from tests.training.tiny import Tiny
from training.commands import evaluate, export, train

ROOT = Path(__file__).parents[2]
SMALL = ("epochs=3", "batch_size=32", "validation=40", "optimiser.learning_rate=0.01", "gate.accuracy=0.5", "ema=0")


@pytest.fixture
def at_hand(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where LECTORIUM_DATA has the tiny set."""
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changes(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def test_from_recipe_to_measured_package(at_hand: Path) -> None:
    cli = CliRunner()
    trained = cli.invoke(train, ["mlp", *changes(*SMALL)], catch_exceptions=False)
    assert trained.exit_code == 0
    assert "next: lectorium export runs/mlp" in trained.output
    exported = cli.invoke(export, ["runs/mlp", "--repository", "zoo"], catch_exceptions=False)
    assert exported.exit_code == 0
    card = read_package(at_hand / "zoo" / "mlp" / "1").classifier
    accuracy = card.provenance.metrics["accuracy"]
    assert f"zoo/mlp/1: test accuracy {accuracy:.4f}" in exported.output
    measured = cli.invoke(evaluate, ["mlp", "--repository", "zoo"], catch_exceptions=False)
    assert measured.exit_code == 0
    assert f"accuracy       {accuracy:.4f}   card {accuracy:.4f}" in measured.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "Error: no recipe 'nothing'"),
        (["mlp", "--set", "epoch=3"], "epoch: Extra inputs are not permitted"),
        (["mlp", "--set", "dataset=imagenet"], "Error: no data set 'imagenet'; there are mnist"),
    ],
)
def test_what_can_be_put_right_is_one_line(at_hand: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(train, arguments)
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_key_that_the_configuration_does_not_know_is_refused(at_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTORIUM_DATUM", "x")
    done = CliRunner().invoke(evaluate, ["mlp"])
    assert done.exit_code == 1
    assert "datum" in done.output


def python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_commands_load_nothing_heavy_until_they_run() -> None:
    done = python(
        "import sys, training.commands\n"
        "print(sorted({'torch', 'lightning', 'onnx', 'onnxruntime', 'matplotlib'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["torch", "lightning"])
def test_a_missing_library_is_named_with_what_to_install(missing: str) -> None:
    done = python(
        f"import sys; sys.modules[{missing!r}] = None\nfrom training.commands import train\ntrain(['softmax'])"
    )
    assert done.returncode == 1
    assert f"Error: training needs {missing}, which is not installed: pip install 'lectorium[train]'" in done.stderr
