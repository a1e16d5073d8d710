import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.needs import needs
from tests.training.tiny import Tiny, make_folder, tiny_recipe
from training.classification.evaluate import ask, evaluate
from training.classification.package import write_package
from training.classification.subject import from_run, from_runs, held_out_by_all
from training.data import Split
from training.errors import EvaluationError, ExportError
from training.fit import fit


@pytest.fixture
@needs("fit")
def runs(tiny: Tiny, finished_run: Path, tmp_path: Path) -> list[Path]:
    """A run, and another of it with another seed and the same validation split."""
    second = tmp_path / "second"
    fit(tiny_recipe("name='second'", "epochs=1"), second, tiny.folder)
    return [finished_run, second]


@pytest.mark.export
def test_an_ensemble_answers_the_mean_of_its_members_from_one_graph(
    runs: list[Path], tiny: Tiny, tmp_path: Path
) -> None:
    zoo = tmp_path / "zoo"
    members = [write_package(from_run(run, tiny.folder), zoo) for run in runs]
    package = write_package(from_runs(runs, "both", tiny.folder), zoo)
    images = tiny.source.test().images
    mean = np.mean([ask(zoo, member, images) for member in members], axis=0)
    np.testing.assert_allclose(ask(zoo, package, images), mean, atol=1e-5)
    said = package.classifier.provenance
    assert [member["name"] for member in said.recipe["members"]] == ["softmax", "second"]
    assert said.parameters == 2 * 7_850
    evaluate(zoo, "both", data=tiny.folder).check()


def test_one_run_is_no_ensemble_and_may_be_renamed(finished_run: Path, tiny: Tiny) -> None:
    assert from_runs([finished_run], None, tiny.folder).name == "softmax"
    subject = from_runs([finished_run], "mine", tiny.folder)
    assert subject.name == "mine"
    assert "members" not in subject.recipe


def test_an_ensemble_needs_a_name(finished_run: Path, tiny: Tiny) -> None:
    with pytest.raises(ExportError, match="2 runs make an ensemble; give it a --name"):
        from_runs([finished_run, finished_run], None, tiny.folder)


@pytest.mark.fit
def test_members_of_other_labels_are_refused(finished_run: Path, tiny: Tiny, tmp_path: Path) -> None:
    fit(tiny_recipe("classes=['0', '1', '2']", "validation=10"), tmp_path / "three", tiny.folder)
    with pytest.raises(ExportError, match=r"three: its labels is \('0', '1', '2'\); that of "):
        from_runs([finished_run, tmp_path / "three"], "both", tiny.folder)


def test_only_what_no_member_was_trained_on_is_held_out() -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)
    labels = np.arange(300)
    first, second = Split(images[:200], labels[:200]), Split(images[60:], labels[60:])
    found = held_out_by_all([first, second])
    assert found is not None
    assert found.labels.tolist() == list(range(60, 200))
    assert held_out_by_all([first, replace(second, images=images[180:], labels=labels[180:])]) is None  # 20: too few


@pytest.mark.fit
def test_a_folder_that_has_changed_since_the_run_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits", per_class=10)
    fit(tiny_recipe(f"dataset='{folder}'", "validation=20"), tmp_path / "run")
    from_run(tmp_path / "run", None)
    shutil.copy(folder / "0" / "00.png", folder / "1" / "more.png")
    with pytest.raises(ExportError, match="has changed since it was trained on"):
        from_run(tmp_path / "run", None)


@pytest.mark.export
@pytest.mark.fit
def test_a_users_folder_goes_to_a_package_that_can_be_measured_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits", per_class=20)
    fit(tiny_recipe(f"dataset='{folder}'", "validation=20", "gate.accuracy=0.2"), tmp_path / "run")
    zoo = tmp_path / "zoo"
    package = write_package(from_run(tmp_path / "run", None), zoo)
    assert package.classifier.preprocessing.fit == "crop"
    found = evaluate(zoo, "softmax", dataset=str(folder))
    assert found.metrics == found.said == package.classifier.provenance.metrics
    with pytest.raises(EvaluationError, match="softmax/1 was trained on the folder digits; give it with --data"):
        evaluate(zoo, "softmax")
