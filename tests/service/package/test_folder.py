import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import InvalidPackage
from service.package import CARD, MAX_CARD_BYTES, read_package, sha256
from service.package.files import MAX_TEXT_BYTES
from tests.packages import CLASSES, change_card, replace_file
from tests.service.package.refusal import refused

NO_SHA = "0" * 64


def test_a_right_package_is_read_with_its_card_and_labels(folder: Path) -> None:
    package = read_package(folder)
    assert (package.card.name, package.card.version) == ("tiny", 1)
    assert package.labels == ("zero", "one", "two")
    assert package.path(package.classifier.graph.file).is_file()


def test_a_folder_of_another_name_is_refused(folder: Path) -> None:
    moved = folder.parent.rename(folder.parent.with_name("tinier")) / "1"
    refused(moved, naming="the card says tiny/1")


def test_a_folder_of_another_version_is_refused(folder: Path) -> None:
    refused(folder.rename(folder.with_name("2")), naming="the card says tiny/1")


@pytest.mark.parametrize("file", ["model.onnx", "labels.txt", "golden.npz"])
def test_a_file_with_another_checksum_is_refused_by_name(file: str, folder: Path) -> None:
    (folder / file).write_bytes((folder / file).read_bytes() + b"\n")
    refused(folder, naming=f"{file} has sha256")


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


GONE: tuple[Callable[[Path], None], ...] = (Path.unlink, link_to_nothing)


@pytest.mark.parametrize("spoil", GONE)
@pytest.mark.parametrize("file", ["model.onnx", "labels.txt", "golden.npz"])
def test_what_is_no_file_of_the_folder_itself_is_refused_by_name(
    file: str, spoil: Callable[[Path], None], folder: Path
) -> None:
    spoil(folder / file)
    refused(folder, naming=f"{file} is missing; the card names it")


def test_a_file_the_card_checks_beyond_those_it_uses_must_be_there_too(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    card["files"]["card.png"] = NO_SHA
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, naming="card.png is missing; the card names it")


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
    refused(folder, naming=f"{CARD} has .*at most {MAX_CARD_BYTES}")


@pytest.mark.parametrize("labels", ["", "one\n", "a\nb\nc\nd\n", "a\n\nb\nc\n"])
def test_labels_of_another_number_than_the_classes_are_refused(labels: str, folder: Path) -> None:
    replace_file(folder, "labels.txt", labels.encode())
    refused(folder, naming=f"{len(labels.splitlines())} labels; the graph has {CLASSES} classes")


@pytest.mark.parametrize("labels", [b"zero\none\ntwo", b"zero\r\none\r\ntwo\r\n"])
def test_labels_may_end_their_lines_in_any_way(labels: bytes, folder: Path) -> None:
    replace_file(folder, "labels.txt", labels)
    assert read_package(folder).labels == ("zero", "one", "two")


def test_labels_larger_than_they_may_be_are_refused_unread(folder: Path) -> None:
    os.truncate(folder / "labels.txt", MAX_TEXT_BYTES + 1)
    change_card(folder, "files", {file: sha256(folder / file) for file in ("model.onnx", "labels.txt", "golden.npz")})
    refused(folder, naming=f"labels.txt has {MAX_TEXT_BYTES + 1} bytes; at most {MAX_TEXT_BYTES} are allowed")


def test_labels_in_another_encoding_than_utf_8_are_refused(folder: Path) -> None:
    replace_file(folder, "labels.txt", "Kätzchen\nHündchen\nMäuschen\n".encode("latin-1"))
    refused(folder, naming="labels.txt: ")


@pytest.mark.parametrize(("minimum", "maximum"), [(0, CLASSES), (1, CLASSES + 1)])
def test_a_top_k_that_could_not_be_answered_is_refused(minimum: int, maximum: int, folder: Path) -> None:
    change_card(folder, "parameters.top_k", {"default": 1, "minimum": minimum, "maximum": maximum})
    refused(folder, f"labels it may be 1 to {CLASSES}")


def test_a_loop_has_no_labels_and_is_no_classifier(chars_folder: Path) -> None:
    package = read_package(chars_folder)
    assert package.tensor_labels == {}
    with pytest.raises(
        InvalidPackage, match=re.escape("Package(chars/1): its task is 'tensor'; a classifier's is 'classify'")
    ):
        _ = package.classifier
