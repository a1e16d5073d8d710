from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.training.loaded import loaded
from training.classification.calibration import as_logits, fit_temperature, without_temperature
from training.classification.evaluate import ask
from training.classification.graph import IMAGE, Served
from training.classification.package import stored_model, write_package
from training.classification.served_file import to_onnx
from training.classification.subject import Subject
from training.data import Split
from training.errors import ExportError
from training.export.how import How
from training.export.int8 import IMAGES, quantise, some
from training.export.onnx_file import open_onnx

pytestmark = pytest.mark.export

INT8 = How("int8")


def quantised(subject: Subject, path: Path) -> Path:
    assert subject.training is not None
    served = Served(stored_model(subject.model, "int8"), subject.mean, subject.std, embedding=False)
    quantise(to_onnx(served, (28, 28)), subject.training.images, path, subject.mean, subject.std)
    return path


def test_the_convolutions_run_in_8_bits_straight_from_the_pixels_and_the_last_layer_in_32(
    subject: Subject, tmp_path: Path
) -> None:
    found = loaded(quantised(subject, tmp_path / "model.onnx"))
    assert found["QLinearConv"] == 2
    assert found["Conv"] == 1  # the activation maps, from which the logits come
    assert not {"Cast", "Sub", "Div", "QuantizeLinear", "QLinearSoftmax", "QLinearAdd"} & found.keys()


def test_weights_are_8_bits_by_channel_of_which_7_are_used(subject: Subject, tmp_path: Path) -> None:
    graph = onnx.load(quantised(subject, tmp_path / "model.onnx")).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [name for name in tensors if name.endswith("weight_quantized")]
    assert len(weights) == 2
    for name in weights:
        assert tensors[name].dtype == np.int8
        assert 32 < np.abs(tensors[name]).max() <= 64
        assert len(tensors[name.replace("quantized", "scale")]) == len(tensors[name]) > 1


@pytest.mark.usefixtures("traced_anew")
def test_the_same_weights_and_images_give_the_same_bytes(subject: Subject, tmp_path: Path) -> None:
    assert quantised(subject, tmp_path / "a").read_bytes() == quantised(subject, tmp_path / "b").read_bytes()


def test_the_package_is_near_the_float_one_and_says_what_it_is(subject: Subject, tmp_path: Path) -> None:
    assert subject.test is not None
    whole, small = (write_package(subject, tmp_path, how=how) for how in (How("float32"), INT8))
    assert small.card.name == "lenet5-int8"
    assert whole.classifier.embedding is not None
    assert small.classifier.embedding is None
    said = small.classifier.provenance
    assert said.weights == "int8"
    assert 1e-5 < max(said.parity.values()) < 0.2
    difference = np.abs(ask(tmp_path, small, subject.test.images) - ask(tmp_path, whole, subject.test.images))
    assert difference.mean() < 0.02
    assert said.metrics["accuracy"] >= whole.classifier.provenance.metrics["accuracy"] - 0.05


def test_an_int8_package_has_a_temperature_of_its_own(subject: Subject, tmp_path: Path) -> None:
    assert subject.validation is not None
    known = replace(subject, temperature=True, fitted_temperature=2.5)  # the float package's
    package = write_package(known, tmp_path, how=INT8)
    found = package.classifier.provenance.temperature
    asked = without_temperature(ask(tmp_path, package, subject.validation.images), found)
    assert found == pytest.approx(fit_temperature(as_logits(asked), subject.validation.labels), rel=1e-3)
    assert found not in (1.0, 2.5)


def test_activation_maps_stay_within_a_twentieth_of_the_largest(subject: Subject, tmp_path: Path) -> None:
    assert subject.test is not None
    images = subject.test.images[:20]
    answers = []
    for how in (How("float32"), INT8):
        package = write_package(subject, tmp_path, how=how)
        answers.append(open_onnx(package.path("model.onnx")).run(["cam"], {IMAGE: images})[0])
    assert np.abs(answers[0] - answers[1]).max() < np.abs(answers[0]).max() / 20


def test_more_than_half_a_point_lost_is_refused(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subject.training is not None
    black = replace(subject, training=Split(np.zeros_like(subject.training.images), subject.training.labels))
    with pytest.raises(ExportError, match=r"int8 loses \d+\.\d\d points of accuracy on the validation split, from 0\."):
        write_package(black, tmp_path, how=INT8)
    assert list(tmp_path.iterdir()) == []


def test_without_images_there_is_no_int8(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="int8 needs training images and others to check it on; there are none"):
        write_package(replace(subject, training=None), tmp_path, how=INT8)


def test_some_images_are_chosen_by_the_seed_in_their_order() -> None:
    images = np.arange(2000, dtype=np.uint16).reshape(-1, 1).view(np.uint8)
    chosen = some(images, 1).view(np.uint16)[:, 0]
    assert len(chosen) == IMAGES
    assert (np.diff(chosen.astype(int)) > 0).all()
    assert (some(images, 1) == some(images, 1)).all()
    assert (some(images, 2) != some(images, 1)).any()
    assert len(some(images[:7], 1)) == 7
