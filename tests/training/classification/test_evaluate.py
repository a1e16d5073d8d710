from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.package import Package
from tests.training.tiny import Tiny, digits, make_folder
from training.checkpoint import read_checkpoint
from training.classification.evaluate import TOLERANCES, evaluate, find_data, prepare_all, relabel, score
from training.classification.graph import Served
from training.classification.package import stored_model
from training.classification.served_file import reference
from training.data import Split
from training.errors import DataError, EvaluationError
from training.evaluation import Evaluation
from training.packages import find_version


def repository(package: Package) -> Path:
    return package.folder.parent.parent


def test_the_engine_measures_what_torch_does(package: Package, tiny: Tiny, finished_run: Path) -> None:
    found = evaluate(repository(package), "softmax", data=tiny.folder)
    test = tiny.source.test()
    model = stored_model(read_checkpoint(finished_run).model(), "float16")
    probabilities = reference(Served(model, tiny.source.mean, tiny.source.std), test.images)["probabilities"]
    assert found.metrics["accuracy"] == np.mean(probabilities.argmax(1) == test.labels)
    wanted = -np.log(probabilities[np.arange(80), test.labels]).mean()
    assert found.metrics["cross_entropy"] == pytest.approx(wanted, abs=1e-5)


def test_the_card_says_what_is_measured(package: Package, tiny: Tiny) -> None:
    found = evaluate(repository(package), "softmax", 1, tiny.folder)
    assert found.metrics == found.said == package.classifier.provenance.metrics
    assert (found.dataset, found.count) == ("mnist", 80)
    assert found.size == sum(path.stat().st_size for path in package.folder.iterdir())
    found.check()


@pytest.mark.parametrize(
    ("metric", "difference", "refused"),
    [("accuracy", 4e-4, False), ("accuracy", 6e-4, True), ("accuracy", -6e-4, True), ("ece", 1e-3, False),
     ("ece", -3e-3, True), ("cross_entropy", 0.1, False)],
)  # fmt: skip
def test_another_accuracy_or_calibration_error_than_the_cards_is_an_error(
    package: Package, metric: str, difference: float, refused: bool
) -> None:
    said = package.classifier.provenance.metrics
    changed = {**said, metric: said[metric] + difference}
    found = Evaluation(package.classifier, "mnist", 80, 1, changed, said, TOLERANCES)
    if refused:
        with pytest.raises(EvaluationError, match=f"^{metric} .*the card of softmax/1 says"):
            found.check()
    else:
        found.check()


def test_a_card_of_before_there_were_calibration_errors_is_still_checked(package: Package) -> None:
    found = Evaluation(package.classifier, "mnist", 80, 1, {"accuracy": 0.5, "ece": 0.2}, {"accuracy": 0.5}, TOLERANCES)
    found.check()
    with pytest.raises(EvaluationError, match="accuracy"):
        replace(found, said={"accuracy": 0.6}).check()


def test_other_images_are_measured_and_not_compared(package: Package, tiny: Tiny, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits", per_class=8)
    found = evaluate(repository(package), "softmax", data=tiny.folder, dataset=str(folder))
    assert (found.dataset, found.said) == ("digits", None)
    assert found.count > 0
    found.check()


def test_a_folder_with_some_of_the_classes_is_measured_by_the_packages_numbers(
    package: Package, tiny: Tiny, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "digits", per_class=8)
    for label in "0123456":
        for path in (folder / label).iterdir():
            path.unlink()
        (folder / label).rmdir()
    found = evaluate(repository(package), "softmax", data=tiny.folder, dataset=str(folder))
    assert found.metrics["accuracy"] > 0.3  # by chance 0.1; by numbers from 0 instead of 7, about none


def test_a_package_without_a_data_set_wants_one(package: Package, tmp_path: Path) -> None:
    card = package.classifier
    bare = card.model_copy(update={"provenance": card.provenance.model_copy(update={"dataset": None})})
    folder = tmp_path / "softmax" / "1"
    folder.mkdir(parents=True)
    for name in card.files:
        (folder / name).write_bytes(package.path(name).read_bytes())
    (folder / "model.json").write_text(bare.model_dump_json())
    with pytest.raises(EvaluationError, match="its card names no data set; give one with --data"):
        evaluate(tmp_path, "softmax")


def test_the_newest_version_is_the_highest_number_not_the_last_word(tmp_path: Path) -> None:
    for version in ("2", "10", "9", "old"):
        (tmp_path / "softmax" / version).mkdir(parents=True)
    assert find_version(tmp_path, "softmax") == 10


def test_a_package_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no package 'softmax'"):
        evaluate(tmp_path, "softmax")


def test_a_package_measured_on_other_files_than_the_real_ones_is_refused(package: Package) -> None:
    with pytest.raises(EvaluationError, match="files of mnist on its card differ from the published"):
        evaluate(repository(package), "softmax")


def test_a_digit_of_the_right_size_reaches_the_graph_untouched(package: Package) -> None:
    images, _ = digits()
    assert (prepare_all(images[:20], package.classifier.preprocessing) == images[:20]).all()


def test_labels_are_renumbered_by_name() -> None:
    split = Split(np.zeros((4, 1, 1), np.uint8), np.array([0, 1, 1, 0]))
    assert relabel(split, ["b", "c"], ["a", "b", "c"]).labels.tolist() == [1, 2, 2, 1]


def test_data_with_fewer_than_two_of_the_models_classes_say_nothing(tmp_path: Path) -> None:
    for label in ("cat", "dog", "7"):
        (tmp_path / label).mkdir()
        for number in range(4):
            Image.fromarray(np.full((28, 28), 60 * number, np.uint8)).save(tmp_path / label / f"{number}.png")
    with pytest.raises(DataError, match="1 of the model's 10"):
        find_data(str(tmp_path), (1, 28, 28), list("0123456789"), None)


def test_metrics_are_those_counted_by_hand() -> None:
    probabilities = np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
    assert score(probabilities, np.array([0, 0])) == {
        "accuracy": 0.5,
        "cross_entropy": pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2, abs=1e-6),
        "ece": 0.25,  # both 0.75 sure, half of them right
    }


def test_with_a_temperature_the_calibration_error_before_it_is_measured_too() -> None:
    # Odds of 3 with temperature 0.5 were odds of the square root of 3 before.
    found = score(np.array([[0.75, 0.25]], np.float32), np.array([0]), 0.5)
    assert found["ece_uncalibrated"] == pytest.approx(1 - 3**0.5 / (1 + 3**0.5), abs=1e-6)
    assert found["ece"] == 0.25
