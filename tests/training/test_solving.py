"""Networks that are computed from the training split, without steps."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from tests.training.toys import OpenedToy, points, toy_recipe, toys
from training.checkpoint import FILE, read_checkpoint
from training.classification.start import OpenedClassifier
from training.errors import RecipeError
from training.fit import fit
from training.learner import Learner
from training.start import Start


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with toys():
        yield


def test_a_solved_network_leaves_a_run_like_any_other(tmp_path: Path) -> None:
    done = fit(toy_recipe("toy-solved"), tmp_path)
    learnt = points(192, 1)
    assert torch.allclose(done.weights["mean"], learnt.mean(0))
    assert float(done.weights["log_deviation"].exp()) == pytest.approx(float(learnt.std(0).mean()), rel=0.1)
    assert done.finished
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "history.csv", "curve.png", "sanity.json"}
    assert (tmp_path / "sanity.json").read_text() == "[]\n"  # nothing is descended, so nothing is checked
    assert read_checkpoint(tmp_path).weights.keys() == done.weights.keys()


def test_its_history_has_one_row_of_both_splits_measured_alike(tmp_path: Path) -> None:
    done = fit(toy_recipe("toy-solved"), tmp_path)
    (row,) = done.history
    model = done.model()
    wanted = {"train_loss": float(model(points(192, 1))), "validation_loss": float(model(points(64, 2)))}
    assert row == {"epoch": 0, **{name: pytest.approx(value, abs=0.05) for name, value in wanted.items()}}
    assert row["validation_loss"] < 0
    with (tmp_path / "history.csv").open() as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()}]


def test_epochs_must_be_0_for_it_and_for_it_alone() -> None:
    with pytest.raises(RecipeError, match="epochs is 3; toy-solved has no weights to train, so it must be 0"):
        OpenedToy(toy_recipe("toy-solved", epochs=3)).start()
    with pytest.raises(RecipeError, match="epochs is 0; toy-pair needs 1 or more"):
        OpenedToy(toy_recipe("toy-pair", epochs=0)).start()


def test_what_cannot_be_solved_says_so(tiny: Tiny) -> None:
    start = OpenedClassifier(tiny_recipe(), tiny.folder).start()
    with pytest.raises(RecipeError, match="no network of the task 'classify' is trained without steps"):
        Start.ordered(start)
    with pytest.raises(RecipeError, match="softmax has no weights to train, and nothing to solve for"):
        Learner.solve(start.learner, [])
