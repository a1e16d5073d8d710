import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import FILE, read_checkpoint
from training.errors import RunError
from training.learner import DESCRIPTION


def plain(value: Any) -> bool:
    """Whether JSON could say it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))


def test_a_checkpoint_says_in_plain_words_where_it_comes_from(tiny: Tiny, finished_run: Path) -> None:
    said = torch.load(finished_run / FILE, weights_only=True)[DESCRIPTION]
    assert plain(said)
    assert (said["model"], said["config"], said["seed"]) == ("softmax", {"inputs": 784, "classes": 10}, 0)
    assert said["dataset"]["files"] == dict(tiny.source.files)
    assert said["dataset"]["splits"] == {"training": 180, "validation": 40}
    assert torch.__version__.startswith(said["libraries"]["torch"])
    assert said["git_commit"]


def test_the_model_is_rebuilt_from_the_checkpoint_alone(finished_run: Path) -> None:
    checkpoint = read_checkpoint(finished_run)
    assert checkpoint.recipe == tiny_recipe()
    model = checkpoint.model()
    assert not model.training
    assert torch.equal(model.state_dict()["scores.weight"], checkpoint.weights["scores.weight"])


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is this the folder of a `lectorium train` run"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\3\4 half a zip", pickle.dumps([1, 2], protocol=2)])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(RunError, match="not a checkpoint of `lectorium train`"):
        read_checkpoint(tmp_path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1)}}, tmp_path / FILE)
    with pytest.raises(RunError, match="not a checkpoint of `lectorium train`"):
        read_checkpoint(tmp_path)


def test_a_run_from_before_todays_keys_is_read(tiny: Tiny, finished_run: Path, tmp_path: Path) -> None:
    content = torch.load(finished_run / FILE, weights_only=True)
    said = content[DESCRIPTION]
    said["recipe"] = {key: value for key, value in said["recipe"].items() if key in FIRST_KEYS}
    content["callbacks"] = {"History": content["callbacks"]["History"]}
    torch.save(content, tmp_path / FILE)
    checkpoint = read_checkpoint(tmp_path)
    assert (checkpoint.finished, checkpoint.stopped) == (True, False)
    assert checkpoint.kept == checkpoint.history[-1]


FIRST_KEYS = ("name", "model", "dataset", "epochs", "batch_size", "optimiser", "schedule", "gate")


def test_the_best_epoch_must_be_there_where_it_is_wanted(finished_run: Path, tmp_path: Path) -> None:
    content = torch.load(finished_run / FILE, weights_only=True)
    content[DESCRIPTION]["recipe"]["keep"] = "best"
    torch.save(content, tmp_path / FILE)
    with pytest.raises(RunError, match=r"no best\.ckpt"):
        read_checkpoint(tmp_path)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the checkpoint ran its own code",))


def test_a_checkpoint_runs_no_code_of_its_own(tmp_path: Path) -> None:
    torch.save({DESCRIPTION: Evil()}, tmp_path / FILE)
    with pytest.raises(RunError, match="not a checkpoint") as error:
        read_checkpoint(tmp_path)
    assert "weights_only" not in str(error.value)
