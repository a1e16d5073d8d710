import csv
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny import BEST_IS_FIRST, Tiny, tiny_recipe
from tests.training.training_only import without_test_split
from training.checkpoint import read_checkpoint
from training.classification.classifier import Classifier
from training.classification.recipe import ClassifierRecipe
from training.data import Fold
from training.errors import DataError, RecipeError, RunError
from training.search.folds import cross_validate, spread

pytestmark = pytest.mark.fit


def test_each_fold_is_a_run_measured_on_what_it_did_not_see(tiny: Tiny, tmp_path: Path) -> None:
    held = list(cross_validate(tiny_recipe("epochs=1"), 3, tmp_path, tiny.folder))
    assert [each.index for each in held] == [0, 1, 2]
    for each in held:
        done = read_checkpoint(each.run)
        assert isinstance(done.recipe, ClassifierRecipe)
        assert done.recipe.fold == Fold(index=each.index, of=3)
        assert done.recipe.model_copy(update={"fold": None}) == tiny_recipe("epochs=1")
        assert each.metrics == {
            metric: done.history[-1][metric] for metric in ("validation_accuracy", "validation_loss")
        }
        # 220 digits in three folds.
        assert done.dataset.splits["training"] + done.dataset.splits["validation"] == 220
        assert done.dataset.splits["validation"] in (73, 74)
    assert len({each.metrics["validation_loss"] for each in held}) == 3


def test_an_epoch_that_was_chosen_on_the_fold_is_not_reported_as_its_result(tiny: Tiny, tmp_path: Path) -> None:
    recipe, flattered = tiny_recipe(*BEST_IS_FIRST), []
    for held in cross_validate(recipe, 2, tmp_path, tiny.folder):
        done = read_checkpoint(held.run)
        assert done.kept is not None
        accuracies = [row["validation_accuracy"] for row in done.history]
        assert done.kept["validation_accuracy"] == max(accuracies)
        assert held.metrics["validation_accuracy"] == accuracies[-1]
        flattered.append(max(accuracies) > accuracies[-1])
    assert any(flattered)


def test_mean_and_deviation_are_those_of_a_sample(tiny: Tiny, tmp_path: Path) -> None:
    held = list(cross_validate(tiny_recipe("epochs=1"), 3, tmp_path, tiny.folder))
    for metric, found in spread(held).items():
        values = [each.metrics[metric] for each in held]
        assert found.mean == pytest.approx(np.mean(values))
        assert found.deviation == pytest.approx(np.std(values, ddof=1))
        assert str(found) == f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    with (tmp_path / "folds.csv").open(newline="") as file:
        assert [float(line["validation_loss"]) for line in csv.DictReader(file)] == [
            each.metrics["validation_loss"] for each in held
        ]


def test_folds_that_are_there_are_not_trained_again(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = cross_validate(tiny_recipe("epochs=1"), 3, tmp_path, tiny.folder)
    first = [next(folds), next(folds)]
    whole = list(cross_validate(tiny_recipe("epochs=1"), 3, tmp_path, tiny.folder))
    assert whole[:2] == first
    monkeypatch.setattr(Classifier, "training_step", lambda *_: pytest.fail("trained"))
    assert list(cross_validate(tiny_recipe("epochs=1"), 3, tmp_path, tiny.folder)) == whole


def test_what_cannot_be_folded_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="folds is 1; cross-validation needs 2 or more"):
        list(cross_validate(tiny_recipe(), 1, tmp_path, tiny.folder))
    with pytest.raises(RecipeError, match="already names a fold"):
        list(cross_validate(tiny_recipe("fold={index=0, of=2}"), 2, tmp_path, tiny.folder))
    with pytest.raises(DataError, match="220 examples are too few for 221 folds"):
        list(cross_validate(tiny_recipe("epochs=1"), 221, tmp_path, tiny.folder))


def test_folds_of_another_recipe_are_not_gone_on_with(tiny: Tiny, tmp_path: Path) -> None:
    list(cross_validate(tiny_recipe("epochs=1"), 2, tmp_path, tiny.folder))
    with pytest.raises(RunError, match="another recipe"):
        list(cross_validate(tiny_recipe("epochs=1"), 3, tmp_path, tiny.folder))


def test_the_test_split_may_be_missing(tiny: Tiny, tmp_path: Path) -> None:
    data = without_test_split(tiny, tmp_path / "data")
    assert len(list(cross_validate(tiny_recipe("epochs=1"), 2, tmp_path / "folds", data))) == 2
