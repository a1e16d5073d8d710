"""BYTES tensors, ONNX's strings, on every wire of the Open Inference Protocol."""

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from protos import open_inference_pb2 as pb
from service.errors import InvalidArgument
from service.surfaces.oip.bytes_tensors import MAX_ELEMENT_BYTES, MAX_ELEMENTS, listed_texts, raw_texts
from tests.bare_packages import MOODS, graph, sentiment, text_doubler, text_echo, write_bare
from tests.needs import needs
from tests.service.surfaces.rest_requests import body
from tests.service.surfaces.transports import (
    JSON_LENGTH,
    Grpc,
    Refused,
    Rest,
    TensorTransport,
    infer_path,
    model_path,
    tensor,
    wire,
)
from tests.serving import Server

MAX_BATCH = 4
TEXTS = ["", "a", "é", "日本語", "a\0b\0", "💥" * 40]


@pytest.fixture(scope="module")
@needs("server")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("texts")
    zoo = folder / "zoo"
    write_bare(zoo, text_echo(), "echo")
    write_bare(zoo, text_echo(()), "scalar")
    write_bare(zoo, text_doubler(), "doubler")
    write_bare(zoo, text_doubler("text_input", "text_output"), "writer")
    write_bare(zoo, sentiment(), "sentiment")
    write_bare(zoo, nan(), "nan")
    with Server(zoo, folder / "home", default_models="", default_max_batch=MAX_BATCH) as server:
        yield server


def nan() -> Any:
    """``y`` is 0 / ``x``."""
    constant = helper.make_tensor("zero", 1, [], [0.0])
    return graph([helper.make_node("Div", ["zero", "x"], ["y"])], ("N", 2), ("N", 2), 1, [constant])


WAYS: dict[str, Any] = {
    "json": Rest,
    "binary": lambda server: Rest(server, binary=True),
    "typed": lambda server: Grpc(server, raw=False),
    "raw": lambda server: Grpc(server, raw=True),
}


@pytest.fixture(scope="module", params=WAYS)
def texts(request: pytest.FixtureRequest, server: Server) -> Iterator[TensorTransport]:
    with closing(WAYS[request.param](server)) as transport:
        yield transport


@pytest.fixture(scope="module")
def rest(server: Server) -> Iterator[Rest]:
    with closing(Rest(server)) as rest:
        yield rest


@pytest.fixture(scope="module")
def grpc(server: Server) -> Iterator[Grpc]:
    with closing(Grpc(server)) as grpc:
        yield grpc


def array(values: Any) -> NDArray[Any]:
    return np.array(values, object)


def test_texts_come_back_as_they_went(texts: TensorTransport) -> None:
    sent = array(TEXTS).reshape(3, 2)
    answer = texts.infer("echo", [tensor(sent, "x")]).outputs["y"]
    assert answer.tolist() == sent.tolist()


def test_a_single_text_may_be_the_whole_tensor(texts: TensorTransport) -> None:
    assert texts.infer("scalar", [tensor(array("one"), "x")]).outputs["y"].tolist() == "one"


def test_a_text_classifier_answers_labels_and_scores(texts: TensorTransport) -> None:
    words = array([["good", "very", "good"], ["bad", "but", "x"], ["", "", ""]])
    answer = texts.infer("sentiment", [tensor(words, "words")])
    assert answer.outputs["label"].tolist() == ["happy", "sad", "sad"]
    np.testing.assert_allclose(answer.outputs["scores"], [[0.1, 2], [1.1, 0], [0.1, 0]], rtol=1e-6)


def test_requests_at_once_and_longer_than_a_batch_get_their_own_rows(texts: TensorTransport) -> None:
    sent = [array([f"{i}-{row}" for row in range(1 + i % (2 * MAX_BATCH + 1))]) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda given: texts.infer("doubler", [tensor(given, "x")]).outputs["y"], sent))
    assert [answer.tolist() for answer in answers] == [[text * 2 for text in given] for given in sent]


def test_metadata_and_configuration_name_the_datatype(rest: Rest, grpc: Grpc) -> None:
    for oip in (rest, grpc):
        metadata = oip.model_metadata("sentiment")
        assert metadata["inputs"] == [{"name": "words", "datatype": "BYTES", "shape": [-1, 3]}]
        assert [output["datatype"] for output in metadata["outputs"]] == ["BYTES", "FP32"]
        config = oip.model_config("sentiment")
        assert (config.max_batch_size, config.input[0].data_type) == (MAX_BATCH, pb.TYPE_STRING)


def test_scores_are_answered_as_classifications_and_labels_are_not(rest: Rest, grpc: Grpc) -> None:
    entry = {"name": "words", "datatype": "BYTES", "shape": [1, 3], "data": ["good", "good", "good"]}
    answer = rest.post(
        infer_path("sentiment"),
        *body(inputs=[entry], outputs=[{"name": "scores", "parameters": {"classification": 1}}]),
    )
    assert answer.outputs["scores"].tolist() == [["3.000000:1"]]
    wanted = {"name": "label", "parameters": {"classification": 1}}
    with pytest.raises(Refused, match="INVALID_ARGUMENT: output 'label' is BYTES; classification is for numbers"):
        rest.post(infer_path("sentiment"), *body(inputs=[entry], outputs=[wanted]))
    assert MOODS[1] == grpc.infer("sentiment", [tensor(array([["good"] * 3]), "words")]).outputs["label"][0]


def test_numbers_for_texts_are_refused_and_texts_for_numbers(texts: TensorTransport) -> None:
    with pytest.raises(Refused, match="'x' is FP32; model 'echo' allows BYTES"):
        texts.infer("echo", [tensor(np.zeros((1, 2), "f4"), "x")])
    with pytest.raises(Refused, match="'x' is BYTES; model 'nan' allows FP32"):
        texts.infer("nan", [tensor(array([["a", "b"]]), "x")])
    with pytest.raises(Refused, match=r"is \[1, 3\]; model 'echo' allows \[-1, 2\]"):
        texts.infer("echo", [tensor(array([["a", "b", "c"]]), "x")])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1, 2], "data holds int; BYTES allows str"),
        (["a", None], "data holds NoneType; BYTES allows str"),
        (["a"], "1 elements; shape [1, 2] needs 2"),
        (["a", "b", "c"], "3 elements; shape [1, 2] needs 2"),
        ([["a", ["b"]]], "data holds list; BYTES allows str"),
        ("ab", "'data' is a string; it must be a list"),
    ],
)
def test_json_that_is_no_texts_is_refused(rest: Rest, data: Any, words: str) -> None:
    entry = {"name": "x", "datatype": "BYTES", "shape": [1, 2], "data": data}
    with pytest.raises(Refused) as refused:
        rest.post(infer_path("echo"), orjson.dumps({"inputs": [entry]}))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert words in refused.value.message


A = wire(array(["a"]))
LYING: dict[str, tuple[bytes, list[int], str]] = {
    "a length of 4 GB": (A + b"\xff\xff\xff\xff", [1, 2], "element 1 says it has 4294967295 bytes; 0 are left"),
    "a length past the end": (A + b"\x02\0\0\0b", [1, 2], "element 1 says it has 2 bytes; 1 are left"),
    "half a length": (A + b"\x01\0", [1, 2], "7 bytes, which end before element 1 of 2"),
    "too few": (A, [1, 2], "5 bytes, which end before element 1 of 2"),
    "nothing": (b"", [1, 2], "0 bytes, which end before element 0 of 2"),
    "too many": (A * 3, [1, 2], "5 bytes follow the last of 2 elements"),
    "not UTF-8": (A + b"\x02\0\0\0b\xff", [1, 2], "element 1 is not UTF-8, as ONNX's strings are"),
    "half a surrogate pair": (A + b"\x03\0\0\0\xed\xa0\x80", [1, 2], "element 1 is not UTF-8"),
    "more than there can be": (A, [1 << 20, 1 << 20], "1099511627776 BYTES elements; at most 65536"),
    "a shape past all bounds": (A, [1 << 40, 1 << 40], "at most 8 dimensions"),
    "a negative shape": (A, [-1, -2], "none negative"),
}


@pytest.mark.parametrize("case", LYING)
@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_bytes_that_lie_are_refused_with_what_is_wrong(way: str, case: str, rest: Rest, grpc: Grpc) -> None:
    data, shape, words = LYING[case]
    entry: dict[str, Any] = {"name": "x", "datatype": "BYTES", "shape": shape}
    ask: Any = partial(
        rest.post, infer_path("echo"), *body(data, inputs=[{**entry, "parameters": {"binary_data_size": len(data)}}])
    )
    if way == "grpc":
        tensors = [pb.ModelInferRequest.InferInputTensor(**entry)]
        ask = partial(grpc.send, pb.ModelInferRequest(model_name="echo", inputs=tensors, raw_input_contents=[data]))
    with pytest.raises(Refused) as refused:
        ask()
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.message.startswith("input 'x'")
    assert words in refused.value.message
    assert len(refused.value.message) < 300


def test_typed_contents_that_are_not_utf8_are_refused(grpc: Grpc) -> None:
    contents = pb.InferTensorContents(bytes_contents=[b"a", b"\xff"])
    tensors = [pb.ModelInferRequest.InferInputTensor(name="x", datatype="BYTES", shape=[1, 2], contents=contents)]
    with pytest.raises(Refused, match="element 1 is not UTF-8, as ONNX's strings are: invalid start byte at byte 0"):
        grpc.send(pb.ModelInferRequest(model_name="echo", inputs=tensors))


def test_a_body_that_is_all_tensor_is_one_text(rest: Rest) -> None:
    answer = rest.post(infer_path("doubler"), "häh".encode(), {JSON_LENGTH: "0"})
    assert answer.outputs["y"].tolist() == ["hähhäh"]
    with pytest.raises(Refused, match=r"1 elements; shape \[1, 2\] needs 2"):
        rest.post(infer_path("echo"), b"ab", {JSON_LENGTH: "0"})


def test_generate_takes_and_gives_texts(rest: Rest) -> None:
    def generate(**message: Any) -> Any:
        return rest.client.post(f"{model_path('writer')}/generate", json=message).json()["text_output"]

    assert generate(text_input="ab", stream=False) == "abab"
    assert generate(text_input=["a", "b"]) == ["aa", "bb"]


@pytest.mark.parametrize("call", ["generate", "generate_stream"])
def test_generate_refuses_what_is_no_number_as_infer_does(rest: Rest, call: str) -> None:
    answer = rest.client.post(f"{model_path('nan')}/{call}", json={"x": [0, 1]})
    assert answer.status_code == 400
    assert "output 'y' holds NaN or infinity, which JSON has no form for" in answer.json()["error"]
    for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        refused = rest.client.post(f"{model_path('nan')}/{call}", content=b'{"x": [%b, 1]}' % value)
        assert (refused.status_code, "not JSON" in refused.json()["error"]) == (400, True)
        refused = rest.client.post(f"{model_path('nan')}/{call}", content=b'{"x": [1, 1], "temperature": %b}' % value)
        assert (refused.status_code, "not JSON" in refused.json()["error"]) == (400, True)


@given(st.lists(st.text(), max_size=20))
def test_any_texts_are_read_as_they_were_written(values: list[str]) -> None:
    assert raw_texts("x", wire(array(values)), len(values)) == values
    assert listed_texts("x", [*values, *(value.encode() for value in values)]) == values * 2


@given(data=st.binary(max_size=40), count=st.integers(0, 10))
def test_any_bytes_are_read_or_refused(data: bytes, count: int) -> None:
    refused = ""
    try:
        assert wire(array(raw_texts("x", memoryview(data), count))) == data
    except InvalidArgument as error:
        refused = str(error)
    assert not refused or refused.startswith("input 'x'")


def test_elements_too_long_or_too_many_are_refused() -> None:
    long = b"a" * (MAX_ELEMENT_BYTES + 1)
    with pytest.raises(InvalidArgument, match="element 1 has 1048577 bytes; at most 1048576 are allowed"):
        raw_texts("x", A + struct.pack("<I", len(long)) + long, 2)
    with pytest.raises(InvalidArgument, match="element 0 has 1048577 bytes"):
        listed_texts("x", [long.decode()])
    assert raw_texts("x", struct.pack("<I", len(long) - 1) + long[1:], 1) == ["a" * MAX_ELEMENT_BYTES]
    words = "65537 BYTES elements; at most 65536 are allowed"
    with pytest.raises(InvalidArgument, match=words):
        raw_texts("x", bytes(4 * (MAX_ELEMENTS + 1)), MAX_ELEMENTS + 1)
    with pytest.raises(InvalidArgument, match=words):
        listed_texts("x", [""] * (MAX_ELEMENTS + 1))


def test_a_package_of_texts_is_read_from_its_folder(server: Server) -> None:
    assert "zeros do not run" not in server.log
