import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.classification.rows import build, find
from tests.models.rows import seasoned
from tests.training.tiny import Tiny, digits, make_folder
from training.classification.evaluate import ask
from training.classification.package import write_package
from training.classification.weights_file import Weights, from_weights, read_labels
from training.errors import ExportError
from training.export.how import How

LABELS = tuple("0123456789")
GREY: dict[str, Any] = {"mean": (0.13,), "std": (0.31,)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "softmax.pth"
    torch.save(seasoned(find("softmax")).state_dict(), path)
    return path


@pytest.mark.export
def test_a_file_of_weights_becomes_a_package_that_nobody_measured(file: Path, tmp_path: Path) -> None:
    subject = from_weights(Weights("softmax", file, LABELS, "mine", **GREY), None, None, unmeasured=True)
    package = write_package(subject, tmp_path / "zoo", how=How("float32"))
    assert package.labels == LABELS
    said = package.classifier.provenance
    assert (said.metrics, said.dataset) == ({}, None)
    assert said.recipe == {"name": "mine", "model": "softmax", "weights": "softmax.pth"}
    images = digits()[0][:20]
    x = (torch.from_numpy(images)[:, None] / 255 - 0.13) / 0.31
    with torch.no_grad():
        wanted = torch.softmax(seasoned(find("softmax"))(x), 1).numpy()
    np.testing.assert_allclose(ask(tmp_path / "zoo", package, images), wanted, atol=1e-5)


@pytest.mark.export
def test_a_folder_of_images_measures_it(file: Path, tmp_path: Path, tiny: Tiny) -> None:
    folder = make_folder(tmp_path / "digits", per_class=10)
    subject = from_weights(Weights("softmax", file, LABELS, "mine", **GREY), str(folder), None)
    package = write_package(subject, tmp_path / "zoo")
    said = package.classifier.provenance
    assert said.dataset is not None
    assert said.dataset.name == "digits"
    assert said.dataset.splits.keys() == {"training", "validation", "test"}
    assert "accuracy" in said.metrics
    assert said.validation == {}  # whoever trained the weights may have seen all images but the test split's


def test_labels_of_the_images_are_found_by_name_among_the_weights(file: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits", per_class=10, classes=3)
    backwards = tuple(reversed(LABELS))
    subject = from_weights(Weights("softmax", file, backwards, "mine", **GREY), str(folder), None)
    assert subject.test is not None
    assert set(subject.test.labels.tolist()) == {7, 8, 9}


def test_as_many_classes_as_there_are_labels(tmp_path: Path) -> None:
    torch.save(build("resnet20", {"classes": 3}).state_dict(), tmp_path / "three.pth")
    weights = Weights("resnet20", tmp_path / "three.pth", ("a", "b", "c"), "mine", config={"shortcut": "zero_padding"})
    subject = from_weights(weights, None, None, unmeasured=True)
    assert subject.mean == (0.485, 0.456, 0.406)
    with pytest.raises(ExportError, match=re.escape("fc.weight (3, 64) instead of (2, 64)")):
        from_weights(replace(weights, labels=("a", "b")), None, None, unmeasured=True)


@pytest.mark.parametrize("name", ["googlenet", "xception"])
def test_published_weights_of_some_want_half_and_half(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.classification.weights_file.read_weights", lambda path: {})
    monkeypatch.setattr("training.classification.weights_file.give_weights", lambda model, found, origin: None)
    (tmp_path / "w").touch()
    subject = from_weights(Weights(name, tmp_path / "w", ("a", "b"), "mine"), None, None, unmeasured=True)
    assert subject.mean == subject.std == (0.5, 0.5, 0.5)


def test_grey_input_has_no_published_statistics(file: Path) -> None:
    with pytest.raises(ExportError, match="there are 3 means and 3 deviations; softmax needs 1"):
        from_weights(Weights("softmax", file, LABELS, "mine"), None, None)


def test_weights_that_nobody_measured_are_refused_unless_asked_for(file: Path) -> None:
    weights = Weights("softmax", file, LABELS, "mine", **GREY)
    with pytest.raises(ExportError, match=r"softmax\.pth: nobody has measured .* give --data, .*, or --unmeasured"):
        from_weights(weights, None, None)
    assert from_weights(weights, None, None, unmeasured=True).test is None


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken"])
def test_a_broken_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ExportError, match=r"w\.pth: is not a file of weights \(.*\)$"):
        from_weights(Weights("softmax", tmp_path / "w.pth", LABELS, "mine", **GREY), None, None)


def test_a_model_that_does_not_exist_is_named(file: Path) -> None:
    with pytest.raises(ExportError, match="no model 'resnet'; there are logistic, softmax"):
        from_weights(Weights("resnet", file, LABELS, "mine"), None, None)


def test_labels_are_the_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\ufefftabby cat\ntench\r\nétoile\n", "utf-8")
    assert read_labels(tmp_path / "labels.txt") == ("tabby cat", "tench", "étoile")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"one\n", "two or more labels"), (b"a\n\nb\n", "none of them empty"), (b"a\nb\na\n", "or repeated"),
     (b"\xff\xfe", "not a text file"), (b"x" * (1 << 20) + b"\ny", "at most 1048576")],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ExportError, match=message):
        read_labels(tmp_path / "labels.txt")


def test_a_file_of_labels_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nothing\.txt: is not a text file of labels"):
        read_labels(tmp_path / "nothing.txt")
