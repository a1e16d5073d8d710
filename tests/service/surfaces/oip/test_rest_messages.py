"""The messages of the Open Inference Protocol over REST: JSON, with and without binary tensors behind it."""

import json
from typing import Any

import numpy as np
import orjson
import pytest

from tests.packages import expected
from tests.service.surfaces.echo import ECHO, extremes
from tests.service.surfaces.rest_requests import BINARY, IMAGE, LISTED, PATH, PIXELS, body, refusal
from tests.service.surfaces.transports import JSON_LENGTH, Refused, Rest, infer_path, read_answer


@pytest.mark.parametrize(
    "data",
    [PIXELS.ravel().tolist(), PIXELS.tolist(), PIXELS[0].tolist(), PIXELS.reshape(2, 2, 2, 2).tolist()],
    ids=["flat", "nested", "without the batch", "otherwise nested"],
)
def test_data_may_be_flat_or_nested(rest: Rest, data: list[Any]) -> None:
    answer = rest.post(PATH, orjson.dumps({"inputs": [{**IMAGE, "data": data}]}))
    np.testing.assert_allclose(answer.outputs["probabilities"], expected(PIXELS, 2), atol=1e-6)


def test_a_json_answer_has_the_protocols_keys_and_flat_data(rest: Rest) -> None:
    answer = rest.client.post(PATH, json={"inputs": [LISTED], "id": "7"}).raise_for_status().json()
    assert answer.keys() == {"model_name", "model_version", "id", "outputs"}
    probabilities, mean = answer["outputs"]
    assert probabilities.keys() == mean.keys() == {"name", "datatype", "shape", "data"}
    assert (probabilities["datatype"], probabilities["shape"], mean["shape"]) == ("FP32", [1, 3], [1])
    assert all(isinstance(value, float) for value in probabilities["data"] + mean["data"])


def test_an_answer_without_an_id_has_none(rest: Rest) -> None:
    assert "id" not in rest.client.post(PATH, json={"inputs": [LISTED]}).raise_for_status().json()


def test_optional_keys_may_be_null(rest: Rest) -> None:
    nothing = {"id": None, "parameters": None, "outputs": None}
    content = orjson.dumps({**nothing, "inputs": [{**LISTED, "parameters": None}]})
    assert list(rest.post(PATH, content).outputs) == ["probabilities", "mean"]


UNKNOWN: dict[str, dict[str, Any]] = {
    "keys": {"inputs": [LISTED], "model_name": "tiny", "output": [], "x" * 100_000: {"a": [None]}},
    "parameters": {"inputs": [LISTED], "parameters": {"colour": [1], "triton_enable_empty_final_response": True}},
    "an input's keys": {"inputs": [{**LISTED, "dtype": "u1", "contents": {}}]},
    "an input's parameters": {"inputs": [{**LISTED, "parameters": {"content_type": "np"}}]},
    "an output's keys": {"inputs": [LISTED], "outputs": [{"name": "mean", "shape": [], "data": None}]},
    "an output's parameters": {"inputs": [LISTED], "outputs": [{"name": "mean", "parameters": {"top": 1}}]},
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown_keys_and_parameters_are_passed_over(rest: Rest, case: str) -> None:
    answer = rest.post(PATH, orjson.dumps(UNKNOWN[case]))
    np.testing.assert_allclose(answer.outputs["mean"], PIXELS.mean((1, 2)), rtol=1e-6)


def test_data_that_is_null_may_stand_beside_a_binary_size(rest: Rest) -> None:
    answer = rest.post(PATH, *body(PIXELS.tobytes(), inputs=[{**BINARY, "data": None}]))
    np.testing.assert_allclose(answer.outputs["mean"], PIXELS.mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("overall", "own", "binary"),
    [
        (None, {}, set()),
        (False, {}, set()),
        (True, {}, {"probabilities", "mean"}),
        (None, {"mean": True}, {"mean"}),
        (False, {"mean": True}, {"mean"}),
        (True, {"mean": False}, {"probabilities"}),
        (True, {"mean": False, "probabilities": False}, set()),
    ],
)
def test_an_outputs_own_binary_data_wins_over_binary_data_output(
    rest: Rest, overall: bool | None, own: dict[str, bool], binary: set[str]
) -> None:
    outputs = [
        {"name": name, "parameters": {"binary_data": own[name]} if name in own else {}}
        for name in ("mean", "probabilities")
    ]
    parameters = {} if overall is None else {"binary_data_output": overall}
    response = rest.client.post(PATH, json={"inputs": [LISTED], "outputs": outputs, "parameters": parameters})
    np.testing.assert_allclose(read_answer(response).outputs["mean"], PIXELS.mean((1, 2)), rtol=1e-6)
    header = response.content[: int(response.headers.get(JSON_LENGTH, len(response.content)))]
    assert {o["name"] for o in orjson.loads(header)["outputs"] if "data" not in o} == binary


def test_listed_and_binary_inputs_mix_and_blobs_follow_in_the_inputs_order(rest: Rest) -> None:
    given = {name.lower(): (name, extremes(name)) for name in ("INT64", "INT8", "FP64", "BOOL")}
    given |= {name.lower(): (name, extremes(name)) for name in ("UINT8", "UINT16", "UINT32", "UINT64")}
    given |= {name.lower(): (name, extremes(name)) for name in ("INT16", "INT32", "FP32")}
    inputs, blobs = [], b""
    for i, (name, (datatype, values)) in enumerate(given.items()):
        form: dict[str, Any] = (
            {"parameters": {"binary_data_size": values.nbytes}} if i % 2 else {"data": values.tolist()}
        )
        inputs.append({"name": name, "datatype": datatype, "shape": [1, 2], **form})
        blobs += values.tobytes() if i % 2 else b""
    answer = rest.post(infer_path("echo"), *body(blobs, inputs=inputs))
    for name, (_, values) in given.items():
        np.testing.assert_array_equal(answer.outputs[f"same_{name}"], values)


def test_a_body_that_is_all_tensor_is_one_row_and_answered_in_binary(rest: Rest) -> None:
    response = rest.client.post(PATH, content=PIXELS.tobytes(), headers={JSON_LENGTH: "0"})
    assert response.headers["content-type"] == "application/octet-stream"
    np.testing.assert_allclose(read_answer(response).outputs["probabilities"], expected(PIXELS, 2), atol=1e-6)


def test_fp16_is_carried_in_binary(rest: Rest) -> None:
    values = extremes("FP16")
    half = {"name": "fp16", "datatype": "FP16", "shape": [1, 2], "parameters": {"binary_data_size": 4}}
    answer = rest.post(
        infer_path("half"), *body(values.tobytes(), inputs=[half], parameters={"binary_data_output": True})
    )
    np.testing.assert_array_equal(answer.outputs["same_fp16"], values)


def test_fp16_has_no_json_form_and_the_refusal_says_what_has(rest: Rest) -> None:
    half = {"name": "fp16", "datatype": "FP16", "shape": [1, 2]}
    with pytest.raises(Refused, match=r"INVALID_ARGUMENT: input 'fp16': FP16 has no JSON .* send it as raw bytes"):
        rest.post(infer_path("half"), *body(inputs=[{**half, "data": [1.0, 2.0]}]))
    with pytest.raises(Refused, match=r"INVALID_ARGUMENT: output 'same_fp16' is FP16, .* ask for it with binary_data"):
        rest.post(infer_path("half"), *body(bytes(4), inputs=[{**half, "parameters": {"binary_data_size": 4}}]))


def test_what_is_no_number_has_no_json_form_and_is_carried_in_binary(rest: Rest) -> None:
    values = np.array([[np.nan, np.inf]], "f4")
    given = {
        "inputs": [
            {
                "name": datatype.lower(),
                "datatype": datatype,
                "shape": [1, 2],
                "parameters": {"binary_data_size": extremes(datatype).nbytes},
            }
            for datatype in ECHO
        ],
        "outputs": [{"name": "same_fp32"}],
    }
    content = b"".join(values.tobytes() if datatype == "FP32" else extremes(datatype).tobytes() for datatype in ECHO)
    with pytest.raises(Refused, match=r"INVALID_ARGUMENT: output 'same_fp32' holds NaN .* ask for it with binary_data"):
        rest.post(infer_path("echo"), *body(content, **given))
    answer = rest.post(infer_path("echo"), *body(content, **given, parameters={"binary_data_output": True}))
    np.testing.assert_array_equal(answer.outputs["same_fp32"], values)


WRONG_JSON: dict[str, tuple[Any, list[str]]] = {
    "a list": ([], ["is a list; it must be an object"]),
    "a string": ("hello", ["is a string; it must be an object"]),
    "nothing in it": ({}, ["input 'image' of model", "is missing"]),
    "inputs an object": ({"inputs": {}}, ["'inputs' is an object; it must be a list"]),
    "input a string": ({"inputs": ["image"]}, ["input is a string; it must be an object"]),
    "id a number": ({"inputs": [LISTED], "id": 7}, ["'id' is a whole number; it must be a string"]),
    "priority in words": (
        {"inputs": [LISTED], "parameters": {"priority": "high"}},
        ["'priority' is 'high'; it must be a whole number from 0"],
    ),
    "parameters a list": ({"inputs": [LISTED], "parameters": []}, ["'parameters' is a list; it must be an object"]),
    "binary_data_output a number": (
        {"inputs": [LISTED], "parameters": {"binary_data_output": 1}},
        ["'binary_data_output' is a whole number; it must be true or false"],
    ),
    "input without name": ({"inputs": [{"datatype": "UINT8"}]}, ["'name' is missing"]),
    "input without datatype": ({"inputs": [{"name": "image", "shape": []}]}, ["'image'", "'datatype' is missing"]),
    "input without shape": (
        {"inputs": [{"name": "image", "datatype": "UINT8", "data": []}]},
        ["'image'", "'shape' is missing"],
    ),
    "input without data": ({"inputs": [IMAGE]}, ["'image'", "'data' is missing"]),
    "shape of fractions": ({"inputs": [{**LISTED, "shape": [1, 4.0, 4]}]}, ["'image'", "a list of whole numbers"]),
    "shape of truths": ({"inputs": [{**LISTED, "shape": [True, 4, 4]}]}, ["'image'", "a list of whole numbers"]),
    "shape a number": ({"inputs": [{**LISTED, "shape": 16}]}, ["'shape' is a whole number; it must be a list"]),
    "datatype a number": (
        {"inputs": [{**LISTED, "datatype": 8}]},
        ["'datatype' is a whole number; it must be a string"],
    ),
    "data a string": ({"inputs": [{**LISTED, "data": "AAAA"}]}, ["'data' is a string; it must be a list"]),
    "data of strings": ({"inputs": [{**LISTED, "data": ["1"] * 16}]}, ["'image'", "holds str", "UINT8"]),
    "data of fractions": ({"inputs": [{**LISTED, "data": [1.0] * 16}]}, ["'image'", "holds float", "UINT8"]),
    "data of truths": ({"inputs": [{**LISTED, "data": [True] * 16}]}, ["'image'", "holds bool", "UINT8"]),
    "data of nulls": ({"inputs": [{**LISTED, "data": [None] * 16}]}, ["'image'", "holds NoneType", "UINT8"]),
    "data of objects": ({"inputs": [{**LISTED, "data": [{}] * 16}]}, ["'image'", "holds dict", "UINT8"]),
    "data ragged": ({"inputs": [{**LISTED, "data": [[1] * 8, [1] * 7, [1]]}]}, ["'image'", "ragged"]),
    "data half nested": ({"inputs": [{**LISTED, "data": [[1] * 15, 1]}]}, ["'image'", "ragged"]),
    "data over the range": ({"inputs": [{**LISTED, "data": [0] * 15 + [256]}]}, ["0 to 256;", "0 to 255"]),
    "data under the range": ({"inputs": [{**LISTED, "data": [0] * 15 + [-1]}]}, ["-1 to 0;", "0 to 255"]),
    "an enormous element": ({"inputs": [{**LISTED, "data": [0] * 15 + [10**30]}]}, ["'image'", "UINT8"]),
    "both forms": ({"inputs": [{**LISTED, **BINARY}]}, ["both 'data' and 'binary_data_size'"]),
    "more bytes than are there": ({"inputs": [BINARY]}, ["binary_data_size is 16; 0 bytes are left"]),
    "a negative size": (
        {"inputs": [{**IMAGE, "parameters": {"binary_data_size": -16}}]},
        ["binary_data_size is -16; 0 bytes"],
    ),
    "a size of -1": (
        {"inputs": [{**LISTED, "data": None, "parameters": {"binary_data_size": -1}}]},
        ["is -1; 0 bytes"],
    ),
    "a size in words": (
        {"inputs": [{**IMAGE, "parameters": {"binary_data_size": "16"}}]},
        ["'binary_data_size' is a string; it must be a whole number"],
    ),
    "binary_data a string": (
        {"inputs": [LISTED], "outputs": [{"name": "mean", "parameters": {"binary_data": "yes"}}]},
        ["'binary_data' is a string; it must be true or false"],
    ),
}


@pytest.mark.parametrize("case", WRONG_JSON)
def test_wrong_json_is_refused_with_what_came_and_what_was_wanted(rest: Rest, case: str) -> None:
    message, words = WRONG_JSON[case]
    refused = refusal(rest, json.dumps(message).encode())
    assert [word for word in words if word not in refused] == []


UNREADABLE = {
    "empty": b"",
    "cut short": b'{"inputs": [',
    "two documents": b"{}{}",
    "not a number": b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [NaN]}]}',
    "not utf-8": b'{"id": "\xff"}',
    "half a surrogate pair": b'{"id": "\\ud800"}',
    "zeros": bytes(1000),
    "200,000 brackets": b"[" * 200_000,
    "200,000 brackets as data": b'{"inputs": [{"name": "image", "data": ' + b"[" * 200_000,
    "200,000 objects": b'{"a":' * 200_000,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_json_is_refused(rest: Rest, case: str) -> None:
    assert refusal(rest, UNREADABLE[case]).startswith("the request is not JSON: ")


def test_data_nested_too_deep_is_refused(rest: Rest) -> None:
    data = b"[" * 500 + b"1" + b"]" * 500
    content = b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 4, 4], "data": ' + data + b"}]}"
    assert "nested deeper than the 8" in refusal(rest, content)


def test_a_long_string_among_many_numbers_costs_no_memory(rest: Rest) -> None:
    # Numpy would give each of the 100,000 elements room for the longest one, 40 GB in all.
    data = ["x" * 100_000] + [0] * 99_999
    given = {"name": "image", "datatype": "UINT8", "shape": [100_000], "data": data}
    assert "holds str; UINT8 allows int" in refusal(rest, orjson.dumps({"inputs": [given]}))
