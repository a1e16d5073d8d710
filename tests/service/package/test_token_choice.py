"""The choice of a loop: of which output, which tokens, by which strategies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.package import Loop, read_package
from service.package.token_choice import CHOSEN
from tests.packages import change_card, replace_file
from tests.service.package.refusal import refused
from tests.step_packages import write_words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right loop with a choice."""
    return write_words(tmp_path)


def loop(folder: Path) -> Loop:
    program = read_package(folder).card.program
    assert isinstance(program, Loop)
    return program


def test_what_the_choice_gives_may_be_emitted_and_answered_like_the_graphs_outputs(folder: Path) -> None:
    said = loop(folder)
    assert said.given == (*said.step.outputs, *CHOSEN)
    names = ["attention", "next_history", "next_count", "token", "log_probability", "score"]
    assert [spec.name for spec in said.outputs] == names
    assert [spec.name for spec in said.inputs] == ["image"]
    assert said.end_token == 2


def test_a_request_may_bring_the_token_it_begins_with(folder: Path) -> None:
    change_card(folder, "loop.sources.token.initial", {"kind": "request", "default": 1})
    assert loop(folder).defaults == {"token": 1}


@pytest.mark.parametrize(
    ("sample", "beam", "wanted"),
    [
        (None, None, ("greedy",)),
        ({}, None, ("greedy", "sample")),
        (None, {"width": {"default": 2, "maximum": 3}}, ("greedy", "beam")),
    ],
)
def test_strategies_are_those_that_are_said_and_greedy(
    sample: Any, beam: Any, wanted: tuple[str, ...], folder: Path
) -> None:
    change_card(folder, "loop.choice.sample", sample)
    change_card(folder, "loop.choice.beam", beam)
    choice = loop(folder).choice
    assert choice is not None
    assert choice.strategies == wanted


def test_a_loop_without_an_end_may_have_beams(folder: Path) -> None:
    change_card(folder, "loop.end", None)
    assert loop(folder).end_token is None


WRONG: dict[str, tuple[str, Any, str]] = {
    "no_such_output": ("loop.choice.output", "scores", "choice.output is 'scores'; the graph has"),
    "of_whole_numbers": (
        "loop.choice.output",
        "next_history",
        r"choice.output 'next_history' is INT64 \[-1, 12\]; it must be FP32 \[-1, tokens\]",
    ),
    "of_one_number": (
        "loop.choice.output",
        "next_count",
        r"'next_count' is FP32 \[-1\]; it must be FP32 \[-1, tokens\]",
    ),
    "an_emitted_output": (
        "loop.choice.output",
        "attention",
        "choice.output 'attention' is also a state, emitted or answered",
    ),
    "a_state": (
        "loop.sources.features",
        {"kind": "state", "output": "log_probabilities", "initial": {"kind": "fill"}},
        "'log_probabilities' is also a state",
    ),
    "a_taken_name": ("loop.step.outputs.1.name", "score", "the step graph has an output 'score', a name"),
    "never_a_token_there_is_not": (
        "loop.choice.never",
        [8],
        r"choice.never is \[8\]; it must be different tokens of 0\.\.7",
    ),
    "never_twice": ("loop.choice.never", [1, 1], r"choice.never is \[1, 1\]; it must be different"),
    "never_any": ("loop.choice.never", [*range(8)], "choice.never has all 8 tokens"),
    "never_the_end": ("loop.choice.never", [2], "end.value is 2; it must be a token that may be chosen"),
    "an_end_that_is_no_token": ("loop.end.value", 8, "end.value is 8; it must be a token that may be chosen"),
    "an_end_that_is_no_whole_number": ("loop.end.value", 2.5, "end.value is 2.5; it must be a token"),
    "beams_that_end_otherwise": (
        "loop.end",
        {"output": "next_count", "value": 5},
        "end.output is 'next_count'; with beams it must be 'token'",
    ),
    "beams_without_rows": (
        "loop.choice.beam.width.maximum",
        9,
        "choice.beam.width allows up to 9; each beam is a row, and max_batch is 8",
    ),
    "default_not_allowed": ("loop.choice", {"output": "log_probabilities", "default": "beam"}, r"default is 'beam'"),
    "unknown_strategy": ("loop.choice.default", "guess", "loop.choice.default"),
    "score_at_every_step": ("loop.emit", ["token", "score"], "'score', which is known only at a row's end"),
    "no_choice": (
        "loop.choice",
        None,
        r"chosen sources are \['token'\]; there must be one with a choice, and none without",
    ),
    "nothing_chosen": (
        "loop.sources.token",
        {"kind": "request"},
        r"chosen sources are \[\]; there must be one with a choice",
    ),
    "two_chosen": (
        "loop.sources.count",
        {"kind": "chosen", "initial": {"kind": "fill"}},
        r"chosen sources are \['token', 'count'\]",
    ),
    "chosen_fractions": (
        "loop.step.inputs.0.datatype",
        "FP32",
        r"FP32 \[-1\], which cannot hold its source, a token below 8",
    ),
    "chosen_of_many": (
        "loop.step.inputs.0.shape",
        [-1, 2],
        r"INT64 \[-1, 2\], which cannot hold its source, a token below 8",
    ),
    "a_beginning_it_cannot_hold": (
        "loop.sources.token.initial.value",
        0.5,
        "'token' has the number 0.5, which INT64 cannot",
    ),
    "temperature_0": ("loop.choice.sample", {"temperature": {"default": 1, "minimum": 0, "maximum": 2}}, "minimum"),
    "temperature_out_of_range": (
        "loop.choice.sample",
        {"temperature": {"default": 3, "minimum": 0.1, "maximum": 2}},
        r"default 3 is outside 0\.1\.\.2",
    ),
    "more_than_all": ("loop.choice.sample", {"top_p": {"default": 1, "maximum": 1.5}}, "top_p.maximum"),
    "negative_top_k": ("loop.choice.sample", {"top_k": {"default": 0, "minimum": -1, "maximum": 2}}, "top_k.minimum"),
    "no_beam": ("loop.choice.beam.width.minimum", 0, "width.minimum"),
    "reward_for_length": (
        "loop.choice.beam.length_penalty",
        {"default": 0, "minimum": -1, "maximum": 1},
        "length_penalty.minimum",
    ),
    "unknown_key": ("loop.choice.beams", 3, "loop.choice.beams"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_choice_that_cannot_be_is_refused_by_name(folder: Path, case: str) -> None:
    key, value, naming = WRONG[case]
    change_card(folder, key, value)
    refused(folder, naming)


def test_a_token_that_its_tensor_cannot_hold_is_refused(tmp_path: Path) -> None:
    folder = write_words(tmp_path, table=np.zeros((300, 300), "f4"))
    change_card(folder, "loop.step.inputs.0.datatype", "INT8")
    refused(folder, r"INT8 \[-1\], which cannot hold its source, a token below 300")


def test_a_vocabulary_has_a_piece_for_each_token(folder: Path) -> None:
    replace_file(folder, "vocabulary.txt", b"a\nb\n")
    refused(folder, "vocabulary.txt has 2 pieces; the graph has 8 tokens")
