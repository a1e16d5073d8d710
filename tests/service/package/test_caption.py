"""A captioner's card: an image in, words and where they were seen out."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidPackage
from service.package import CARD, read_package
from service.package.cards import CARDS
from tests.packages import change_card, write_package
from tests.service.package.refusal import refused
from tests.step_packages import write_captioner
from tests.step_packages.words import WORDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right captioner."""
    return write_captioner(tmp_path)


def test_a_captioner_says_what_it_takes_and_what_its_words_are(folder: Path) -> None:
    package = read_package(folder)
    assert package.captioner is package.card
    assert package.vocabulary == WORDS
    assert [spec.name for spec in package.captioner.program.inputs] == ["image"]
    assert package.captioner.attention is not None


def test_a_captioners_card_survives_the_way_through_json(folder: Path) -> None:
    card = read_package(folder).card
    assert CARDS.validate_json(card.model_dump_json()) == card
    assert json.loads(card.model_dump_json(exclude_unset=True)) == json.loads((folder / CARD).read_text())


def test_a_captioner_need_not_attend(folder: Path) -> None:
    change_card(folder, "attention", None)
    assert read_package(folder).captioner.attention is None


def test_another_tasks_card_is_no_captioners(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match=r"Package\(tiny/1\): its task is 'classify'; a captioner's is 'caption'"):
        _ = read_package(write_package(tmp_path)).captioner


BRINGS: dict[str, Any] = {"kind": "state", "output": "next_count", "initial": {"kind": "request"}}
WRONG: dict[str, tuple[str, Any, str]] = {
    "no_encoders_tensor": ("preprocessing.tensor", "features", "preprocessing.tensor is 'features'; the graph has"),
    "more_than_an_image": (
        "loop.sources.count",
        BRINGS,
        r"a request needs \['image', 'count'\]; a captioner takes only an",
    ),
    "no_end": ("loop.end", None, "a captioner needs 'end' and 'text' with the output 'token'"),
    "no_text": ("loop.text", None, "a captioner needs 'end' and 'text' with the output 'token'"),
    "no_log_probability": (
        "loop.emit",
        ["token", "attention"],
        "emit 'token' and 'log_probability' and answer 'score'",
    ),
    "no_score": ("loop.answer", [], "must emit 'token' and 'log_probability' and answer 'score'"),
    "attention_of_no_output": ("attention.tensor", "map", "attention.tensor is 'map'; the graph has"),
    "attention_that_is_not_emitted": (
        "loop.emit",
        ["token", "log_probability"],
        "attention.tensor is 'attention'; the",
    ),
    "attention_once": ("attention.tensor", "next_history", "attention.tensor 'next_history' is INT64"),
    "another_grid": (
        "attention.width",
        3,
        r"'attention' is FP32 \[-1, 4\]; it must be an emitted tensor, FP32 \[-1, 6\]",
    ),
    "no_golden": ("golden", None, "golden"),
    "unknown_key": ("attention.depth", 3, "attention.depth"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_captioner_that_cannot_be_is_refused_by_name(folder: Path, case: str) -> None:
    key, value, naming = WRONG[case]
    change_card(folder, key, value)
    refused(folder, naming)
