from pathlib import Path

import pytest
import torch

from tests.training.tiny import BEST_IS_FIRST, Tiny, tiny_recipe
from tests.training.training_only import without_test_split
from training.checkpoint import read_checkpoint
from training.classification.classifier import Classifier
from training.classification.recipe import ClassifierRecipe
from training.errors import DataError, RecipeError
from training.search.bagging import bag

pytestmark = pytest.mark.fit


def test_each_member_has_its_own_name_seed_and_draw(tiny: Tiny, tmp_path: Path) -> None:
    members = list(bag(tiny_recipe("epochs=1", "seed=5"), 3, tmp_path, tiny.folder))
    runs = [read_checkpoint(member.run) for member in members]
    assert [member.run for member in members] == [tmp_path / f"softmax-bag-{index}" for index in range(3)]
    assert [run.recipe.name for run in runs] == ["softmax-bag-0", "softmax-bag-1", "softmax-bag-2"]
    assert [run.recipe.seed for run in runs] == [5, 6, 7]
    assert [member.accuracy for member in members] == [run.history[-1]["validation_accuracy"] for run in runs]
    for run in runs:
        # As many draws as there are digits; about 1 / e of these are never drawn.
        assert isinstance(run.recipe, ClassifierRecipe)
        assert run.recipe.bootstrap
        assert run.dataset.splits["training"] == 220
        assert 60 < run.dataset.splits["validation"] < 100
    assert len({run.dataset.splits["validation"] for run in runs}) > 1
    assert not torch.equal(runs[0].weights["scores.weight"], runs[1].weights["scores.weight"])


def test_an_epoch_that_was_chosen_on_what_was_left_out_is_not_reported(tiny: Tiny, tmp_path: Path) -> None:
    (member, *_) = bag(tiny_recipe(*BEST_IS_FIRST), 2, tmp_path, tiny.folder)
    done = read_checkpoint(member.run)
    assert done.kept is not None
    assert member.accuracy == done.history[-1]["validation_accuracy"] < done.kept["validation_accuracy"]


def test_members_that_are_there_are_not_trained_again(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = bag(tiny_recipe("epochs=1"), 2, tmp_path, tiny.folder)
    first = next(members)
    whole = list(bag(tiny_recipe("epochs=1"), 2, tmp_path, tiny.folder))
    assert whole[0] == first
    monkeypatch.setattr(Classifier, "training_step", lambda *_: pytest.fail("trained"))
    assert list(bag(tiny_recipe("epochs=1"), 2, tmp_path, tiny.folder)) == whole


def test_what_cannot_be_bagged_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="members is 1; bagging needs 2 or more"):
        list(bag(tiny_recipe(), 1, tmp_path, tiny.folder))
    with pytest.raises(DataError, match="fold and bootstrap exclude each other"):
        list(bag(tiny_recipe("fold={index=0, of=2}"), 2, tmp_path, tiny.folder))
    with pytest.raises(RecipeError, match="name: String should match"):
        list(bag(tiny_recipe(f"name={'n' * 60}"), 2, tmp_path, tiny.folder))


def test_the_test_split_may_be_missing(tiny: Tiny, tmp_path: Path) -> None:
    data = without_test_split(tiny, tmp_path / "data")
    assert len(list(bag(tiny_recipe("epochs=1"), 2, tmp_path / "runs", data))) == 2
