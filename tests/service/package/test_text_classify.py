"""The card of a classifier of texts."""

from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidPackage
from service.package import read_package
from tests.packages import change_card, replace_file, write_package
from tests.service.package.refusal import refused
from tests.text_packages import LABELS, MAX_BYTES, MULTIPLE, write_text_package


def test_it_says_how_a_text_is_written_and_what_its_labels_are(tmp_path: Path) -> None:
    package = read_package(write_text_package(tmp_path))
    text = package.text_classifier.text
    assert (text.tensor, text.max_bytes, text.multiple) == ("text", MAX_BYTES, MULTIPLE)
    assert package.labels == LABELS
    assert package.tensor_labels == {"probabilities": LABELS}


def test_texts_are_filled_up_to_64_bytes_where_nothing_is_said(tmp_path: Path) -> None:
    folder = write_text_package(tmp_path)
    change_card(folder, "text.multiple", None)
    assert read_package(folder).text_classifier.text.multiple == 64


WRONG: dict[str, tuple[str, Any, str]] = {
    "no_such_tensor": ("text.tensor", "words", "text.tensor is 'words'; the graph has"),
    "no_bytes": ("graph.inputs.0.datatype", "INT64", r"text.tensor is INT64 \[-1, -1\]; it must be UINT8 \[-1, -1\]"),
    "one_length": ("graph.inputs.0.shape", [-1, 64], r"text.tensor is UINT8 \[-1, 64\]; it must be UINT8"),
    "no_length": ("text.max_bytes", 0, "text.max_bytes"),
    "endless": ("text.max_bytes", (1 << 16) + 1, "text.max_bytes"),
    "no_multiple": ("text.multiple", 0, "text.multiple"),
    "no_such_answer": ("classes.tensor", "languages", "classes.tensor is 'languages'; the graph has"),
    "no_such_file": ("classes.labels", "languages.txt", "'languages.txt' has no checksum"),
    "more_labels_than_classes": (
        "parameters.top_k.maximum",
        5,
        "parameters.top_k is 1 to 5; with 4 labels it may be 1 to 4",
    ),
    "an_image": ("preprocessing", {}, "preprocessing"),
    "unknown_key": ("text.encoding", "latin1", "text.encoding"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, case: str) -> None:
    key, value, naming = WRONG[case]
    folder = write_text_package(tmp_path)
    change_card(folder, key, value)
    refused(folder, naming)


def test_a_label_for_each_class(tmp_path: Path) -> None:
    folder = write_text_package(tmp_path)
    replace_file(folder, "labels.txt", b"alpha\nbeta\n")
    refused(folder, "labels.txt has 2 labels; the graph has 4 classes")


def test_a_classifier_of_images_classifies_no_text_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match="its task is 'classify'; a text classifier's is 'classify-text'"):
        _ = read_package(write_package(tmp_path)).text_classifier
    with pytest.raises(InvalidPackage, match="its task is 'classify-text'; a classifier's is 'classify'"):
        _ = read_package(write_text_package(tmp_path)).classifier
