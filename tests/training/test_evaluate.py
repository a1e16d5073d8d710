from pathlib import Path

import numpy as np
import pytest

from service.package import Package
from tests.training.tiny import Tiny, digits
from training.checkpoint import read_checkpoint
from training.data import load_test
from training.errors import EvaluationError
from training.evaluate import Evaluation, evaluate, newest, prepare_all
from training.graph import Served
from training.onnx_file import reference


def test_the_engine_measures_what_torch_does(package: Package, tiny: Tiny, finished_run: Path) -> None:
    found = evaluate(package.folder.parent.parent, "softmax", data=tiny.folder)
    test = load_test(tiny.source, tiny.folder)
    served = Served(read_checkpoint(finished_run).model(), tiny.source.mean, tiny.source.std)
    probabilities = reference(served, test.images)
    assert found.metrics["accuracy"] == np.mean(probabilities.argmax(1) == test.labels)
    wanted = -np.log(probabilities[np.arange(80), test.labels]).mean()
    assert found.metrics["cross_entropy"] == pytest.approx(wanted, abs=1e-5)


def test_the_card_says_what_is_measured(package: Package, tiny: Tiny) -> None:
    found = evaluate(package.folder.parent.parent, "softmax", 1, tiny.folder)
    assert found.metrics == package.classifier.provenance.metrics
    found.check()


@pytest.mark.parametrize(("difference", "refused"), [(0.0004, False), (0.0006, True), (-0.0006, True)])
def test_another_accuracy_than_the_cards_is_an_error(package: Package, difference: float, refused: bool) -> None:
    said = package.classifier.provenance.metrics
    found = Evaluation(package.classifier, {**said, "accuracy": said["accuracy"] + difference})
    if refused:
        with pytest.raises(EvaluationError, match="the card of softmax says"):
            found.check()
    else:
        found.check()


def test_the_newest_version_is_the_highest_number_not_the_last_word(tmp_path: Path) -> None:
    for version in ("2", "10", "9", "old"):
        (tmp_path / "softmax" / version).mkdir(parents=True)
    assert newest(tmp_path, "softmax") == 10


def test_a_package_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no package 'softmax'"):
        evaluate(tmp_path, "softmax")


def test_a_package_measured_on_other_files_than_the_real_ones_is_refused(package: Package) -> None:
    with pytest.raises(EvaluationError, match="other files of mnist than are published"):
        evaluate(package.folder.parent.parent, "softmax")


def test_a_digit_of_the_right_size_reaches_the_graph_untouched(package: Package) -> None:
    images, _ = digits()
    assert (prepare_all(images[:20], package.classifier.preprocessing) == images[:20]).all()
