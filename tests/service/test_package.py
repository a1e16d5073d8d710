import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.errors import InvalidPackage
from service.package import CARD, MAX_CARD_BYTES, Card, read_package
from tests.packages import CLASSES, change_card, replace_file, write_package

NO_SHA = "0" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right package, for the test to spoil."""
    return write_package(tmp_path)


def refused(folder: Path, naming: str) -> None:
    """The package must be refused with an error that names its folder and what is wrong."""
    with pytest.raises(InvalidPackage, match=f"{re.escape(str(folder))}.*{naming}"):
        read_package(folder)


def test_a_right_package_is_read_with_its_card_and_labels(folder: Path) -> None:
    package = read_package(folder)
    assert (package.card.name, package.card.version) == ("tiny", 1)
    assert package.labels == ("zero", "one", "two")
    assert package.path(package.card.graph.file).is_file()


def test_a_card_survives_the_way_through_json(folder: Path) -> None:
    card = read_package(folder).card
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_a_card_is_frozen(folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_package(folder).card.version = 2  # type: ignore[misc]


LIES: dict[str, tuple[str, Any]] = {
    "unknown_key": ("colour", "red"),
    "unknown_key_inside": ("graph.device", "cuda"),
    "missing_title": ("title", None),
    "missing_max_batch": ("graph.max_batch", None),
    "no_room_for_a_row": ("graph.max_batch", 0),
    "no_inputs": ("graph.inputs", []),
    "no_outputs": ("graph.outputs", []),
    "unknown_datatype": ("graph.inputs.0.datatype", "FLOAT"),
    "dimension_below_minus_one": ("graph.inputs.0.shape", [-1, -2, 4]),
    "version_zero": ("version", 0),
    "version_text": ("version", "latest"),
    "unknown_task": ("task", "guess"),
    "unknown_colour": ("preprocessing.colour", "infrared"),
    "no_height": ("preprocessing.height", 0),
    "unknown_fit": ("preprocessing.fit", "bend"),
    "unknown_interpolation": ("preprocessing.interpolation", "magic"),
    "background_over_255": ("preprocessing.background", 256),
    "no_tolerance": ("golden.tolerance", 0),
    "not_a_checksum": ("files.labels.txt", "abc"),
    "no_examples": ("provenance.dataset.splits.test", 0),
    "missing_licence": ("provenance.dataset.licence", None),
}


@pytest.mark.parametrize(("key", "value"), LIES.values(), ids=list(LIES))
def test_a_wrong_value_in_the_card_is_refused_by_its_key(key: str, value: Any, folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    if key.startswith("files."):
        card["files"][key.removeprefix("files.")] = value
        (folder / CARD).write_text(json.dumps(card))
    else:
        change_card(folder, key, value)
    refused(folder, naming=re.escape(key))


CONTRADICTIONS: dict[str, tuple[str, Any, str]] = {
    "image_is_no_input": ("preprocessing.tensor", "picture", "preprocessing.tensor is 'picture'.*'image'"),
    "classes_are_no_output": ("classes.tensor", "logits", "classes.tensor is 'logits'.*'probabilities'"),
    "graph_without_checksum": ("graph.file", "other.onnx", "'other.onnx' has no checksum"),
    "labels_without_checksum": ("classes.labels", "other.txt", "'other.txt' has no checksum"),
    "golden_without_checksum": ("golden.file", "other.npz", "'other.npz' has no checksum"),
    "classes_without_their_dimension": ("classes.tensor", "mean", "labels.txt: 3 labels for -1 classes"),
    "default_below_range": ("parameters.top_k.minimum", 3, r"parameters.top_k: .*default 2 is outside 3\.\.3"),
    "default_above_range": ("parameters.top_k.maximum", 1, r"parameters.top_k: .*default 2 is outside 1\.\.1"),
    "input_of_fixed_batch": ("graph.inputs.0.shape", [1, 4, 4], r"graph: .*'image'.*batch"),
    "input_without_batch": ("graph.inputs.0.shape", [], r"graph: .*'image'.*batch"),
    "output_without_batch": ("graph.outputs.1.shape", [], r"graph: .*'mean'.*batch"),
}


@pytest.mark.parametrize(("key", "value", "naming"), CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_a_card_that_contradicts_itself_is_refused(key: str, value: Any, naming: str, folder: Path) -> None:
    change_card(folder, key, value)
    refused(folder, naming)


def test_a_card_may_leave_a_single_output(folder: Path) -> None:
    change_card(folder, "graph.outputs", [{"name": "probabilities", "datatype": "FP32", "shape": [-1, CLASSES]}])
    assert len(read_package(folder).card.graph.outputs) == 1


def test_a_default_may_lie_on_either_edge_of_its_range(folder: Path) -> None:
    change_card(folder, "parameters.top_k", {"default": 2, "minimum": 2, "maximum": 2})
    assert read_package(folder).card.parameters.top_k.default == 2


@pytest.mark.parametrize("name", ["", "a/b", "..", "../tiny", ".hidden", "-o", "a b", "tiny\n", "ä", "a" * 65])
def test_a_model_name_that_is_no_plain_word_is_refused(name: str, folder: Path) -> None:
    change_card(folder, "name", name)
    refused(folder, naming="name: ")


@pytest.mark.parametrize(
    "file", ["", "..", "../x.onnx", "/etc/passwd", "a/b.onnx", "a\\b.onnx", ".x", "x\n", "x" * 129]
)
def test_a_file_name_that_could_reach_outside_the_folder_is_refused(file: str, folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    card["files"][file] = NO_SHA
    card["graph"]["file"] = file
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, naming="graph.file: ")
    change_card(folder, "graph.file", "model.onnx")
    refused(folder, naming="files.")


def test_a_folder_of_another_name_is_refused(folder: Path) -> None:
    moved = folder.parent.rename(folder.parent.with_name("tinier")) / "1"
    refused(moved, naming="the card says tiny/1")


def test_a_folder_of_another_version_is_refused(folder: Path) -> None:
    refused(folder.rename(folder.with_name("2")), naming="the card says tiny/1")


@pytest.mark.parametrize("file", ["model.onnx", "labels.txt", "golden.npz"])
def test_a_file_with_another_checksum_is_refused_by_name(file: str, folder: Path) -> None:
    (folder / file).write_bytes((folder / file).read_bytes() + b"\n")
    refused(folder, naming=f"{file}: sha256")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_the_same(path: Path) -> None:
    path.symlink_to(path.rename(path.with_suffix(".real")))


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


GONE: tuple[Callable[[Path], None], ...] = (Path.unlink, make_folder, link_to_the_same, link_to_nothing)


@pytest.mark.parametrize("spoil", GONE)
@pytest.mark.parametrize("file", ["model.onnx", "labels.txt", "golden.npz"])
def test_what_is_no_file_of_the_folder_itself_is_refused_by_name(
    file: str, spoil: Callable[[Path], None], folder: Path
) -> None:
    spoil(folder / file)
    refused(folder, naming=f"{file}: the card names this file and it is not there")


def test_a_file_the_card_checks_beyond_those_it_uses_must_be_there_too(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    card["files"]["card.png"] = NO_SHA
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, naming="card.png: the card names this file and it is not there")


def test_a_package_without_its_card_is_refused(folder: Path) -> None:
    (folder / CARD).unlink()
    refused(folder, naming=f"{CARD}: no such file")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{'name': 1}", b'{"name": NaN}'])
def test_a_card_that_is_not_a_json_object_is_refused(content: bytes, folder: Path) -> None:
    (folder / CARD).write_bytes(content)
    refused(folder, naming=f"{CARD}: ")


def test_an_oversized_card_is_refused_unread(folder: Path) -> None:
    with (folder / CARD).open("a") as card:
        card.write(" " * MAX_CARD_BYTES)
    refused(folder, naming=f"{CARD}: .*at most {MAX_CARD_BYTES}")


@pytest.mark.parametrize("labels", ["", "one\n", "a\nb\nc\nd\n", "a\n\nb\nc\n"])
def test_labels_of_another_number_than_the_classes_are_refused(labels: str, folder: Path) -> None:
    replace_file(folder, "labels.txt", labels.encode())
    refused(folder, naming=f"{len(labels.splitlines())} labels for {CLASSES} classes")


@pytest.mark.parametrize("labels", [b"zero\none\ntwo", b"zero\r\none\r\ntwo\r\n"])
def test_labels_may_end_their_lines_in_any_way(labels: bytes, folder: Path) -> None:
    replace_file(folder, "labels.txt", labels)
    assert read_package(folder).labels == ("zero", "one", "two")


def test_labels_in_another_encoding_than_utf_8_are_refused(folder: Path) -> None:
    replace_file(folder, "labels.txt", "Kätzchen\nHündchen\nMäuschen\n".encode("latin-1"))
    refused(folder, naming="labels.txt: ")


@pytest.mark.parametrize(("minimum", "maximum"), [(0, CLASSES), (1, CLASSES + 1)])
def test_a_top_k_that_could_not_be_answered_is_refused(minimum: int, maximum: int, folder: Path) -> None:
    change_card(folder, "parameters.top_k", {"default": 1, "minimum": minimum, "maximum": maximum})
    refused(folder, f"top_k may be 1 to {CLASSES}")
