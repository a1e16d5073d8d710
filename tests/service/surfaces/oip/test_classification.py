"""The classification extension: outputs answered as their greatest values with index and label."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import orjson
import pytest

from protos import open_inference_pb2 as pb
from service.surfaces.oip.tensors import raw_bytes
from tests.packages import CLASSES, example, expected
from tests.service.surfaces.transports import JSON_LENGTH, Grpc, Refused, Rest, infer_path
from tests.serving import Server

IMAGES = example(4)
LABELS = ["zero", "one", "two"]
Ask = Callable[..., list[list[str]]]


def wanted(count: int) -> list[list[tuple[str, str, float]]]:
    """Label, index and value of the greatest ``count`` of each row, by numpy."""
    rows = expected(IMAGES, 2)
    best = np.argsort(-rows, axis=1)[:, :count]
    return [[(LABELS[i], str(i), float(row[i])) for i in places] for row, places in zip(rows, best, strict=True)]


def ask_json(server: Server, output: str = "probabilities", **parameters: Any) -> list[list[str]]:
    with closing(Rest(server, binary=False)) as rest:
        response = rest.client.post(infer_path("tiny"), json=rest_request(output, parameters))
    (found,) = answered(response.status_code, response.json())["outputs"]
    assert found["datatype"] == "BYTES"
    return [list(row) for row in np.reshape(found["data"], found["shape"])]


def ask_binary(server: Server, output: str = "probabilities", **parameters: Any) -> list[list[str]]:
    with closing(Rest(server)) as rest:
        response = rest.client.post(infer_path("tiny"), json=rest_request(output, {**parameters, "binary_data": True}))
    if response.status_code != 200:
        answered(response.status_code, response.json())
    length = int(response.headers[JSON_LENGTH])
    return [texts(response.content[length:])[i : i + parameters["classification"]] for i in starts(parameters)]


def ask_grpc(server: Server, output: str = "probabilities", **parameters: Any) -> list[list[str]]:
    request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=[IMAGES.tobytes()])
    request.inputs.add(name="image", datatype="UINT8", shape=IMAGES.shape)
    asked = request.outputs.add(name=output)
    for name, value in parameters.items():
        if isinstance(value, int):
            asked.parameters[name].int64_param = value
        else:
            asked.parameters[name].string_param = value
    with closing(Grpc(server)) as grpc:
        answer: pb.ModelInferResponse = grpc._call("ModelInfer", request)
    (found,) = answer.outputs
    assert found.datatype == "BYTES"
    flat = texts(answer.raw_output_contents[0])
    return [list(row) for row in np.reshape(flat, list(found.shape))]


def rest_request(output: str, parameters: dict[str, Any]) -> dict[str, Any]:
    image = {"name": "image", "datatype": "UINT8", "shape": IMAGES.shape, "data": IMAGES.ravel().tolist()}
    return {"inputs": [image], "outputs": [{"name": output, "parameters": parameters}]}


def answered(status: int, message: dict[str, Any]) -> dict[str, Any]:
    if status != 200:
        raise Refused({400: "INVALID_ARGUMENT"}[status], message["error"])
    return message


def texts(data: bytes) -> list[str]:
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        found.append(data[4:end].decode())
        data = data[end:]
    return found


def starts(parameters: dict[str, Any]) -> range:
    return range(0, len(IMAGES) * parameters["classification"], parameters["classification"])


@pytest.fixture(params=[ask_json, ask_binary, ask_grpc])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each wire form in turn."""
    asking: Ask = request.param
    return asking


@pytest.mark.parametrize("count", [1, 2, CLASSES])
def test_each_row_has_its_most_probable_classes_with_value_index_and_label(
    ask: Ask, count: int, server: Server
) -> None:
    found = [[tuple(text.split(":")) for text in row] for row in ask(server, classification=count)]
    assert [[(label, index) for _, index, label in row] for row in found] == [
        [(label, index) for label, index, _ in row] for row in wanted(count)
    ]
    values = [[float(value) for value, _, _ in row] for row in found]
    np.testing.assert_allclose(values, [[value for _, _, value in row] for row in wanted(count)], atol=1e-5)


@pytest.mark.parametrize("asking", [ask_json, ask_grpc])
def test_more_classes_than_there_are_is_all_of_them(asking: Ask, server: Server) -> None:
    assert [len(row) for row in asking(server, classification=CLASSES + 7)] == [CLASSES] * len(IMAGES)


def test_an_output_without_labels_has_value_and_index(ask: Ask, server: Server) -> None:
    found = ask(server, "mean", classification=1)
    assert [row[0] for row in found] == [f"{mean:f}:0" for mean in IMAGES.mean((1, 2))]


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_class_is_refused(ask: Ask, count: int, server: Server) -> None:
    with pytest.raises(Refused) as caught:
        ask(server, classification=count)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert (
        f"output 'probabilities': classification is {count}; it must be a whole number from 1" in caught.value.message
    )


def test_more_classes_at_once_than_texts_may_be_are_refused(server: Server) -> None:
    rows = 22_000
    image = {"name": "image", "datatype": "UINT8", "shape": [rows, 4, 4], "parameters": {"binary_data_size": rows * 16}}
    asked = {"name": "probabilities", "parameters": {"classification": CLASSES}}
    header = orjson.dumps({"inputs": [image], "outputs": [asked]})
    with (
        closing(Rest(server)) as rest,
        pytest.raises(Refused, match="classification asks for 66000 classes of 22000 rows; 65536 are allowed"),
    ):
        rest.post(infer_path("tiny"), header + bytes(rows * 16), {JSON_LENGTH: str(len(header))})


def test_a_count_of_another_kind_is_refused(ask: Ask, server: Server) -> None:
    with pytest.raises(Refused, match="'probabilities': classification is 'three'; it must be a whole number"):
        ask(server, classification="three")


@pytest.mark.parametrize("asking", [ask_json, ask_grpc])
def test_an_unknown_parameter_beside_it_is_passed_over(asking: Ask, server: Server) -> None:
    assert asking(server, classification=1, top=2) == asking(server, classification=1)


def test_texts_go_over_the_wire_with_their_lengths() -> None:
    assert raw_bytes(np.array([["é", ""]], object)) == b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00"
