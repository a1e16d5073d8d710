from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import FILE, read_checkpoint
from training.classification.network import open_source
from training.classification.recipe import ClassifierRecipe
from training.data import HoldOut, split
from training.errors import RecipeError
from training.fit import fit

pytestmark = pytest.mark.fit

CHANGES = ("name=neighbours", "model=neighbours", "epochs=0", "config.neighbours=1")


def recipe(*changes: str) -> ClassifierRecipe:
    return tiny_recipe(*CHANGES, *changes)


def test_neighbours_remember_all_examples_and_know_them_again(tiny: Tiny, tmp_path: Path) -> None:
    done = fit(recipe(), tmp_path, tiny.folder)
    assert done.finished
    assert done.config["rows"] == 180
    (row,) = done.history
    assert (row["epoch"], row["train_accuracy"]) == (0, 1.0)
    assert row["validation_accuracy"] > 0.7
    source = open_source(recipe(), tiny.folder)
    training, validation = split(HoldOut(40), source)
    images = torch.from_numpy(validation.images)[:, None] / 255
    answers = done.model()((images - source.mean[0]) / source.std[0]).argmax(1)
    assert (answers.numpy() == validation.labels).mean() == pytest.approx(row["validation_accuracy"])
    remembered = done.weights["images"].numpy() * source.std[0] + source.mean[0]
    assert np.allclose(remembered * 255, training.images.reshape(180, -1), atol=1e-3)


def test_few_examples_are_remembered_where_the_recipe_says_so(tiny: Tiny, tmp_path: Path) -> None:
    done = fit(recipe("examples=30"), tmp_path, tiny.folder)
    assert done.weights["images"].shape == (30, 784)


def test_what_is_remembered_is_remembered_once(tiny: Tiny, tmp_path: Path) -> None:
    first = fit(recipe(), tmp_path, tiny.folder)
    written = (tmp_path / FILE).stat().st_mtime_ns
    assert fit(recipe(), tmp_path, tiny.folder).created == first.created
    assert (tmp_path / FILE).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("epochs=3",), "epochs is 3; neighbours has no weights to train, so it must be 0"),
        (("model=softmax", "config={}"), "epochs is 0; softmax needs 1 or more"),
        (("config.rows=50",), r"config\.rows: there are 180 images and 180 labels; the model needs 50"),
    ],
)
def test_epochs_and_rows_that_cannot_be_are_refused(
    tiny: Tiny, tmp_path: Path, changes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        fit(recipe(*changes), tmp_path, tiny.folder)


def test_a_network_may_be_taken_as_it_is(tiny: Tiny, tmp_path: Path, finished_run: Path) -> None:
    as_it_is = (f"transfer.weights={finished_run}", "transfer.mode=freeze", "transfer.fresh=[]", "epochs=0")
    done = fit(tiny_recipe(*as_it_is), tmp_path, tiny.folder)
    earlier = read_checkpoint(finished_run)
    assert torch.equal(done.weights["scores.weight"], earlier.weights["scores.weight"])
    assert done.history[0]["validation_accuracy"] == earlier.history[-1]["validation_accuracy"]
