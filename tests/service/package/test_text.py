"""The text section of a loop: which output is said, in the words of which file."""

from pathlib import Path
from typing import Any

import pytest

from service.package import Loop, read_package
from tests.packages import change_card, replace_file
from tests.service.package.refusal import refused

TEXT = {"output": "next_token", "vocabulary": "vocabulary.txt"}


@pytest.fixture
def folder(chars_folder: Path) -> Path:
    """A loop with a text."""
    replace_file(chars_folder, "vocabulary.txt", "(end)\na\u2028b\n c \n\nd\n".encode())
    change_card(chars_folder, "loop.text", TEXT)
    return chars_folder


def test_the_vocabulary_is_read_a_piece_a_line_as_it_is(folder: Path) -> None:
    package = read_package(folder)
    assert package.vocabulary == ("(end)", "a\u2028b", " c ", "", "d")
    assert isinstance(package.card.program, Loop)
    assert package.card.program.text is not None
    assert package.card.program.text.separator == ""


def test_a_loop_without_a_text_has_no_vocabulary(chars_folder: Path) -> None:
    assert read_package(chars_folder).vocabulary == ()


WRONG: dict[str, tuple[str, Any, str]] = {
    "no_such_output": ("loop.text.output", "word", "text.output is 'word'"),
    "not_emitted": (
        "loop.text.output",
        "next_hidden",
        "'next_hidden' must be an emitted output of one whole number per row",
    ),
    "no_whole_number": (
        "loop.text.output",
        "logprob",
        "'logprob' must be an emitted output of one whole number per row",
    ),
    "another_end": (
        "loop.end",
        {"output": "logprob", "value": 0},
        "end.output is 'logprob' and text.output is 'next_token'",
    ),
    "no_such_file": ("loop.text.vocabulary", "words.txt", "'words.txt' has no checksum"),
    "a_path": ("loop.text.vocabulary", "../words.txt", "loop.text.vocabulary"),
    "unknown_key": ("loop.text.language", "en", "loop.text.language"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_text_that_cannot_be_is_refused_by_name(folder: Path, case: str) -> None:
    key, value, naming = WRONG[case]
    change_card(folder, key, value)
    refused(folder, naming)


def test_a_vocabulary_that_is_no_text_is_refused(folder: Path) -> None:
    replace_file(folder, "vocabulary.txt", b"\xff")
    refused(folder, "vocabulary.txt: 'utf-8'")
