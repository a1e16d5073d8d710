import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.package import CARD, Loop
from tests.packages import change_card
from tests.service.package.refusal import refused


def tensor(name: str, datatype: str = "FP32", *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *shape]}


def graph(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"file": "model.onnx", "inputs": inputs, "outputs": outputs, "max_batch": 4}


# A caption: words one after another, from the features of an image.
RIGHT: dict[str, Any] = {
    "encoder": graph([tensor("image", "UINT8", -1, -1)], [tensor("features", "FP32", 5)]),
    "step": graph(
        [
            tensor("word", "INT64"),
            tensor("memory", "FP32", 5),
            tensor("seen", "FP32", 5),
            tensor("style", "UINT8", 2),
            tensor("noise", "FP64", 3),
            tensor("time", "INT32", 1),
        ],
        [
            tensor("next_word", "INT64"),
            tensor("next_memory", "FP32", 5),
            tensor("score", "FP32"),
            tensor("map", "FP32", 7),
        ],
    ),
    "sources": {
        "word": {"kind": "state", "output": "next_word", "initial": {"kind": "fill", "value": 1}},
        "memory": {"kind": "state", "output": "next_memory", "initial": {"kind": "encoder", "output": "features"}},
        "seen": {"kind": "encoder", "output": "features"},
        "style": {"kind": "request", "default": 3},
        "noise": {"kind": "draw", "distribution": "normal"},
        "time": {"kind": "schedule", "first": 10, "last": 0},
    },
    "emit": ["next_word"],
    "answer": ["score"],
    "steps": {"default": 5, "maximum": 10},
    "end": {"output": "next_word", "value": 0},
    "text": {"output": "next_word", "vocabulary": "words.txt", "separator": " "},
}


def loop(key: str | None = None, value: Any = None) -> Loop:
    """The right loop, but for one key, ``sources.time.first`` for one inside; None takes it out."""
    said = copy.deepcopy(RIGHT)
    if key is not None:
        *outer, last = key.split(".")
        inner: Any = said
        for part in outer:
            inner = inner[int(part)] if isinstance(inner, list) else inner[part]
        if value is None:
            del inner[last]
        else:
            inner[int(last) if isinstance(inner, list) else last] = value
    return Loop.model_validate(said)


def test_a_request_brings_what_the_encoder_takes_and_what_the_sources_leave_to_it() -> None:
    assert [spec.name for spec in loop().inputs] == ["image", "style"]
    assert loop().defaults == {"style": 3}
    assert loop("sources.style", {"kind": "request"}).defaults == {"style": None}


def test_a_state_that_the_request_begins_is_an_input_too() -> None:
    begun = {"kind": "state", "output": "next_word", "initial": {"kind": "request"}}
    assert [spec.name for spec in loop("sources.word", begun).inputs] == ["image", "word", "style"]


def test_a_caller_gets_what_is_emitted_and_answered_in_the_graphs_order() -> None:
    assert [spec.name for spec in loop().outputs] == ["next_word", "score"]
    assert [spec.name for spec in loop("answer", ["map", "next_word"]).outputs] == ["next_word", "map"]


def test_a_loop_survives_the_way_through_json() -> None:
    assert Loop.model_validate_json(loop().model_dump_json()) == loop()


def test_a_loop_names_its_files_and_the_rows_that_step_together() -> None:
    assert loop().files == ("model.onnx", "model.onnx")
    assert loop().max_batch == 4


REQUEST = {"kind": "request"}
CONTRADICTIONS: dict[str, tuple[str, Any, str]] = {
    "an_input_without_a_source": (
        "sources.time",
        None,
        r"sources has \['memory', .*\]; the step graph's inputs are \['memory', .*'time', 'word'\]",
    ),
    "a_source_without_an_input": ("sources.more", REQUEST, r"sources has \['memory', 'more'"),
    "a_free_dimension": (
        "step.inputs.1.shape",
        [-1, -1],
        r"step tensor 'memory' is \[-1, -1\]; only the batch may vary",
    ),
    "a_free_dimension_of_an_output": ("step.outputs.3.shape", [-1, -1], "step tensor 'map'"),
    "no_batch": ("step.max_batch", 0, "max_batch is 0; the graphs of a loop have a batch dimension"),
    "an_encoder_without_batch": ("encoder.max_batch", 0, "max_batch is 0; the graphs of a loop have a batch dimension"),
    "texts_in": ("step.inputs.3.datatype", "BYTES", "'style' is BYTES; it must be a numeric datatype"),
    "texts_out": ("step.outputs.3.datatype", "BYTES", "'map' is BYTES; it must be a numeric datatype"),
    "an_encoder_of_texts": ("encoder.inputs.0.datatype", "BYTES", "'image' is BYTES; it must be a numeric datatype"),
    "state_of_no_output": ("sources.word.output", "x", "the source of 'word' is 'x'; the graph has"),
    "state_of_another_type": (
        "sources.word.output",
        "score",
        r"the source of 'word' is 'score', FP32 \[-1\]; it must be INT64 \[-1\]",
    ),
    "state_of_another_shape": (
        "sources.memory.output",
        "map",
        r"the source of 'memory' is 'map', FP32 \[-1, 7\]; it must be FP32 \[-1, 5\]",
    ),
    "encoder_of_no_output": ("sources.seen.output", "x", r"the source of 'seen' is 'x'; the graph has \['features'\]"),
    "no_encoder": ("encoder", None, r"the source of 'memory' is 'features'; the graph has \[\]"),
    "begun_by_another_shape": (
        "encoder.outputs.0.shape",
        [-1, 6],
        r"'features', FP32 \[-1, 6\]; it must be FP32 \[-1, 5\]",
    ),
    "drawn_integers": (
        "sources.style",
        {"kind": "draw", "distribution": "uniform"},
        "the source of 'style' draws UINT8; only FP32 and FP64 can be drawn",
    ),
    "the_encoders_tensor": (
        "encoder.inputs.0.name",
        "style",
        "the source of 'style' is the request's tensor 'style', which is an input of the encoder",
    ),
    "a_schedule_of_many_numbers": (
        "sources.seen",
        {"kind": "schedule", "first": 1, "last": 0},
        r"the source of 'seen' is a schedule, which gives one number per row; its shape is \[-1, 5\]",
    ),
    "two_states_of_one_output": (
        "sources.seen",
        {"kind": "state", "output": "next_memory", "initial": {"kind": "fill"}},
        r"states are fed from \['next_memory', 'next_memory', 'next_word'\]; each needs an output of its own",
    ),
    "emits_no_output": ("emit", ["word"], "emit and answer: an output is 'word'; the graph has"),
    "answers_no_output": ("answer", ["word"], "emit and answer: an output is 'word'; the graph has"),
    "ends_at_no_output": ("end.output", "word", "end.output is 'word'; the graph has"),
    "ends_at_many_numbers": ("end.output", "map", r"end.output 'map' is \[-1, 7\]; it must be one number per row"),
    "a_text_of_no_output": ("text", {"output": "x", "vocabulary": "v.txt"}, "text.output is 'x'; the graph has"),
    "a_text_that_is_not_emitted": (
        "text",
        {"output": "score", "vocabulary": "v.txt"},
        "text.output 'score' must be an emitted output of one whole number per row",
    ),
    "a_text_of_another_output_than_the_end": (
        "end",
        {"output": "score", "value": 0},
        "end.output is 'score' and text.output is 'next_word'; they must be the same",
    ),
    "default_below_its_range": ("steps.minimum", 6, r"default 5 is outside 6\.\.10"),
    "default_above_its_range": ("steps.maximum", 4, r"default 5 is outside 1\.\.4"),
    "no_step": ("steps.minimum", 0, "steps.minimum"),
    "too_many_steps": ("steps.maximum", 1_000_001, "steps.maximum"),
    "unknown_kind": ("sources.seen.kind", "magic", "sources.seen"),
    "unknown_distribution": ("sources.noise.distribution", "cauchy", "sources.noise"),
    "a_state_of_a_schedule": ("sources.word.initial", {"kind": "schedule", "first": 0, "last": 1}, "sources.word"),
    "unknown_offset": ("sources.time.offset", 2, "sources.time"),
    "a_fraction_for_an_integer": (
        "sources.word.initial.value",
        0.5,
        "the source of 'word' has the number 0.5, which INT64 cannot hold",
    ),
    "a_default_too_large": (
        "sources.style.default",
        256,
        "the source of 'style' has the number 256, which UINT8 cannot hold",
    ),
    "a_default_too_small": (
        "sources.style.default",
        -1,
        "the source of 'style' has the number -1, which UINT8 cannot hold",
    ),
    "a_schedule_out_of_range": (
        "sources.time.first",
        2**31,
        f"the source of 'time' has the number {2**31}, which INT32 cannot hold",
    ),
    "a_schedule_out_of_range_at_its_end": ("sources.time.last", -(2**31) - 1, "which INT32 cannot hold"),
    "a_number_without_end": ("sources.time.first", float("inf"), "sources.time"),
    "not_a_number": ("end.value", float("nan"), "end.value"),
}


@pytest.mark.parametrize(("key", "value", "naming"), CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_a_loop_that_contradicts_itself_is_refused(key: str, value: Any, naming: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){naming}"):
        loop(key, value)


def test_a_loop_that_gives_nothing_is_refused() -> None:
    said = copy.deepcopy(RIGHT)
    del said["emit"], said["answer"]
    with pytest.raises(ValidationError, match="emit and answer are empty"):
        Loop.model_validate(said)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BOOL", 1),
        ("UINT8", 255),
        ("UINT8", 7.0),
        ("INT8", -128),
        ("UINT64", 2**64 - 1),
        ("FP16", 65504),
        ("FP32", -1e38),
    ],
)
def test_a_number_that_its_tensor_can_hold_is_taken(datatype: str, value: float) -> None:
    said = copy.deepcopy(RIGHT)
    said["step"]["inputs"][3]["datatype"] = datatype
    said["sources"]["style"] = {"kind": "request", "default": value}
    assert Loop.model_validate(said).defaults == {"style": value}


@pytest.mark.parametrize(
    ("datatype", "value"), [("BOOL", 2), ("INT8", 128), ("INT8", -129), ("UINT64", 2**64), ("FP16", 1e5)]
)
def test_a_number_that_its_tensor_cannot_hold_is_refused(datatype: str, value: float) -> None:
    said = copy.deepcopy(RIGHT)
    said["step"]["inputs"][3]["datatype"] = datatype
    said["sources"]["style"] = {"kind": "request", "default": value}
    with pytest.raises(ValidationError, match=f"which {datatype} cannot hold"):
        Loop.model_validate(said)


def test_a_card_that_contradicts_itself_in_its_loop_is_refused_with_its_folder(chars_folder: Path) -> None:
    change_card(chars_folder, "loop.end.output", "logits")
    refused(chars_folder, "loop: .*end.output is 'logits'")


@pytest.mark.parametrize("key", ["loop.step.device", "loop.sources.hidden.copies", "loop.steps.average", "loop.while"])
def test_an_unknown_key_of_a_loop_is_refused_by_name(key: str, chars_folder: Path) -> None:
    change_card(chars_folder, key, 1)
    refused(chars_folder, re.escape(key.rpartition(".")[2]))


def test_the_loops_of_the_test_packages_say_what_they_are(chars_folder: Path) -> None:
    said = json.loads((chars_folder / CARD).read_text())["loop"]
    assert Loop.model_validate(said).defaults == {"token": 1, "temperature": 1.0}


# Of the words' scores and maps, which the caller gets in colour.
DECODER = graph([tensor("score"), tensor("map", "FP32", 7)], [tensor("colours", "FP32", 7)])


def with_decoder(**changes: Any) -> Loop:
    said = {"answer": ["score", "map"], "decoder": DECODER, **changes}
    return Loop.model_validate({**copy.deepcopy(RIGHT), **said})


def test_a_caller_gets_what_the_decoder_makes_in_the_place_of_what_it_takes() -> None:
    at_the_end = with_decoder()
    assert [spec.name for spec in at_the_end.outputs] == ["next_word", "colours"]
    assert at_the_end.emitted == ("next_word",)
    assert at_the_end.step_outputs(("colours", "next_word")) == ("next_word", "score", "map")
    assert at_the_end.step_outputs(("next_word",)) == ("next_word",)
    of_the_map = graph([tensor("map", "FP32", 7)], [tensor("colours", "FP32", 7)])
    on_the_way = with_decoder(emit=["next_word", "map"], decoder=of_the_map)
    assert on_the_way.emitted == ("next_word", "colours")
    assert at_the_end.files == ("model.onnx",) * 3


@pytest.mark.parametrize(
    ("changes", "naming"),
    [
        ({"answer": ["score"]}, r"the input 'map' of the decoder is 'map'; the graph has \['next_word', 'score'\]"),
        (
            {"decoder": graph([tensor("map", "FP32", 8)], [tensor("colours")])},
            r"the input 'map' of the decoder is 'map', FP32 \[-1, 7\]; it must be FP32 \[-1, 8\]",
        ),
        ({"decoder": graph([tensor("map", "FP32", 7)], [tensor("score")])}, "the decoder has an output 'score'"),
        ({"decoder": graph([tensor("next_word", "INT64")], [tensor("a")])}, "text.output 'next_word' is an input of"),
        ({"decoder": graph([tensor("map", "FP32", 7)], [tensor("a", "FP32", -1)])}, "only the batch may vary"),
        ({"decoder": {**DECODER, "max_batch": 0}}, "max_batch is 0; the graphs of a loop have a batch dimension"),
    ],
)
def test_a_decoder_that_does_not_fit_its_loop_is_refused(changes: dict[str, Any], naming: str) -> None:
    with pytest.raises(ValidationError, match=naming):
        with_decoder(**changes)
