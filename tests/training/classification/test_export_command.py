from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from models.classification.rows import build
from service.package import read_package
from tests.training.tiny import Tiny, make_folder
from training.commands.evaluate import evaluate
from training.commands.export import export

pytestmark = pytest.mark.export


@pytest.fixture
def at_hand(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where LECTORIUM_DATA has the tiny set, and there is a file of weights with its labels."""
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))
    monkeypatch.chdir(tmp_path)
    torch.save(build("softmax").state_dict(), "w.pth")
    Path("labels.txt").write_text("\n".join("0123456789"))
    return tmp_path


def called(*arguments: str) -> str:
    done = CliRunner().invoke(export, [*arguments, "--repository", "zoo"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


FROM_FILE = ("--model", "softmax", "--weights", "w.pth", "--labels", "labels.txt", "--name", "mine", "--mean", "0.13",
             "--std", "0.31")  # fmt: skip


def test_a_run_is_exported_and_measured_again(at_hand: Path, finished_run: Path) -> None:
    said = called(str(finished_run), "--name", "mine", "--weights-as", "float32", "--no-deconv")
    package = read_package(Path("zoo/mine/1"))
    metrics = package.classifier.provenance.metrics
    size = sum(path.stat().st_size for path in package.folder.iterdir())
    low, high = package.classifier.provenance.intervals["accuracy"]
    assert f"zoo/mine/1: validation accuracy {package.classifier.provenance.validation['accuracy']:.4f}, cross" in said
    assert f"zoo/mine/1: test accuracy {metrics['accuracy']:.4f} ({low:.4f} to {high:.4f}), cross_entropy" in said
    assert f"{size:,} bytes, 7,850 parameters as float32, 7,840 MACs, parity" in said
    done = CliRunner().invoke(evaluate, ["mine", "--repository", "zoo"], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"mine/1 on the mnist test split, 80 examples; {size:,} bytes" in done.output
    assert f"ece              {metrics['ece']:.4f}   card {metrics['ece']:.4f}" in done.output


def test_weights_from_a_file_are_exported_unmeasured_and_measured_later(at_hand: Path) -> None:
    said = called(*FROM_FILE, "--unmeasured")
    assert "zoo/mine/1: not measured; `lectorium evaluate mine --data FOLDER` measures it" in said
    folder = make_folder(at_hand / "digits", per_class=10)
    arguments = ["mine", "--repository", "zoo", "--data", str(folder)]
    done = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "on the digits test split" in done.output
    assert "card" not in done.output


def test_several_runs_are_one_package_with_a_temperature(at_hand: Path, finished_run: Path) -> None:
    said = called(str(finished_run), str(finished_run), "--name", "twice", "--int8", "--no-temperature")
    assert "zoo/twice-int8/1: test accuracy" in said
    assert "15,700 parameters as int8" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one or more RUNs, or --model, --weights and --labels"),
        (("run", *FROM_FILE), "give one or more RUNs, or --model, --weights and --labels"),
        (FROM_FILE[:4], "weights from a file need --model, --weights, --labels and --name"),
        (("run", "--int8", "--weights-as", "float16"), "--int8 and --weights-as exclude each other"),
        ((*FROM_FILE, "--data", "x", "--unmeasured"), "--data and --unmeasured exclude each other"),
        ((*FROM_FILE, "--mean", "a,b"), "'a,b' is not a list of numbers such as 0.485,0.456,0.406"),
    ],
)
def test_words_that_do_not_go_together_are_refused(at_hand: Path, arguments: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(export, arguments)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "Error: run: no last.ckpt"),
        ((*FROM_FILE[:8], *FROM_FILE[8:10]), "there are 1 means and 3 deviations; softmax needs 1, one per channel"),
        ((*FROM_FILE, "--unmeasured", "--name", "../mine"), "'../mine' is no package name"),
        (FROM_FILE, "w.pth: nobody has measured these weights here; give --data"),
        ((*FROM_FILE, "--config", "shortcut"), "'shortcut': a change is written key=value"),
        ((*FROM_FILE, "--config", "shortcut=x"), "softmax, config: model 'softmax' has no 'shortcut'"),
        (
            (*FROM_FILE, "--unmeasured", "--int8"),
            "int8 needs training images and others to check it on; there are none",
        ),
        ((*FROM_FILE, "--unmeasured", "--temperature"), "a temperature needs images that were not trained on"),
    ],
)
def test_what_can_be_put_right_is_one_line(at_hand: Path, arguments: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(export, [*arguments, "--repository", "zoo"])
    assert done.exit_code == 1
    assert message in done.output
    assert done.output.count("\n") == 1
    assert not list(Path().glob("zoo/*"))
