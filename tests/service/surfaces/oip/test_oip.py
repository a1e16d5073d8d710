"""The Open Inference Protocol: what REST and gRPC, JSON, binary, raw and typed contents all do alike."""

import re
from importlib.metadata import version as installed_version
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.packages import MAX_BATCH, example, expected
from tests.service.surfaces.echo import ECHO, extremes
from tests.service.surfaces.transports import Grpc, Input, Refused, Rest, TensorTransport, tensor

IMAGE = tensor(example(1))


def refusal(transport: TensorTransport, model: str = "tiny", inputs: tuple[Input, ...] = (IMAGE,), **how: str) -> str:
    """The message with which a wrong argument is refused."""
    with pytest.raises(Refused) as caught:
        transport.infer(model, inputs, outputs=how.pop("outputs", "").split(), **how)
    assert caught.value.code == "INVALID_ARGUMENT"
    return caught.value.message


@pytest.mark.parametrize("rows", [1, 3, MAX_BATCH, 3 * MAX_BATCH + 1])
def test_every_row_is_answered_whatever_their_number(tensors: TensorTransport, rows: int) -> None:
    images = example(rows, seed=rows)
    answer = tensors.infer("tiny", [tensor(images)])
    np.testing.assert_allclose(answer.outputs["probabilities"], expected(images, 2), atol=1e-6)
    np.testing.assert_allclose(answer.outputs["mean"], images.mean((1, 2)), rtol=1e-6)


def test_all_outputs_come_in_the_graphs_order_where_none_is_named(tensors: TensorTransport) -> None:
    assert list(tensors.infer("tiny", [IMAGE]).outputs) == ["probabilities", "mean"]


@pytest.mark.parametrize("wanted", [["mean"], ["probabilities"], ["mean", "probabilities"]])
def test_exactly_the_outputs_asked_for_come_in_that_order(tensors: TensorTransport, wanted: list[str]) -> None:
    assert list(tensors.infer("tiny", [IMAGE], outputs=wanted).outputs) == wanted


def test_the_highest_version_answers_where_none_is_named(tensors: TensorTransport) -> None:
    answer = tensors.infer("tiny", [IMAGE])
    assert (answer.model, answer.version) == ("tiny", "2")


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_version_that_is_named_answers(tensors: TensorTransport, version: str) -> None:
    answer = tensors.infer("tiny", [IMAGE], version=version)
    assert answer.version == version
    np.testing.assert_allclose(answer.outputs["probabilities"], expected(example(1), int(version)), atol=1e-6)


@pytest.mark.parametrize("request_id", ["", "42", "ümläut \\ \" '", "x" * 1000])
def test_the_id_is_echoed(tensors: TensorTransport, request_id: str) -> None:
    assert tensors.infer("tiny", [IMAGE], id=request_id).id == request_id


@pytest.mark.parametrize("datatype", ECHO)
def test_every_datatype_comes_back_bit_for_bit(tensors: TensorTransport, datatype: str) -> None:
    given = {name: extremes(name) for name in ECHO}
    output = f"same_{datatype.lower()}"
    answer = tensors.infer("echo", [tensor(v, name.lower()) for name, v in given.items()], outputs=[output])
    assert answer.outputs[output].dtype == given[datatype].dtype
    np.testing.assert_array_equal(answer.outputs[output], given[datatype])


def wrong(values: NDArray[Any], datatype: str = "UINT8", shape: list[int] | None = None, name: str = "image") -> Input:
    return Input(name, datatype, list(values.shape) if shape is None else shape, values)


SMALL, PIXELS = np.zeros((1, 5, 5), "u1"), np.zeros((1, 4, 4), "u1")
WRONG_TENSORS = {
    "size": (wrong(SMALL), ["'tiny'", "'image'", "[1, 5, 5]; model", "allows [-1, 4, 4]"]),
    "rank": (wrong(PIXELS, shape=[1, 16]), ["'tiny'", "'image'", "[1, 16]; model", "allows [-1, 4, 4]"]),
    "no rows": (wrong(PIXELS[:0]), ["'tiny'", "'image'", "[0, 4, 4]; model 'tiny'", "at least one row"]),
    "negative": (wrong(PIXELS, shape=[-1, 4, 4]), ["'image'", "shape is [-1, 4, 4]", "none negative"]),
    "too many dimensions": (wrong(PIXELS[:, :1, :1], shape=[1] * 9), ["'image'", "[1, 1, 1", "8 dimensions"]),
    "nothing, of enormous size": (
        wrong(PIXELS[:0], shape=[0, 1 << 62, 1 << 62]),
        ["'image'", f"shape is [0, {1 << 62}"],
    ),
    "name": (wrong(PIXELS, name="picture"), ["'tiny'", "no input 'picture'", "['image']"]),
    "long name": (wrong(PIXELS, name="p" * 999), ["name has 999 characters", "128"]),
    "datatype nobody knows": (wrong(PIXELS, "FLOAT"), ["'image'", "datatype is 'FLOAT'", "UINT8", "FP32"]),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_a_wrong_tensor_is_refused_with_what_came_and_what_was_wanted(tensors: TensorTransport, case: str) -> None:
    given, words = WRONG_TENSORS[case]
    message = refusal(tensors, inputs=(given,))
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("datatype", [name for name in ECHO if name != "UINT8"])
def test_every_other_datatype_is_refused_by_name(tensors: TensorTransport, datatype: str) -> None:
    other = np.zeros((1, 4, 4), extremes(datatype).dtype)
    message = refusal(tensors, inputs=(tensor(other),))
    assert f"datatype of input 'image' is {datatype}; model 'tiny' allows UINT8" in message


@pytest.mark.parametrize("elements", [15, 17])
def test_another_number_of_elements_than_the_shape_asks_for_is_refused(tensors: TensorTransport, elements: int) -> None:
    message = refusal(tensors, inputs=(wrong(np.zeros(elements, "u1"), shape=[1, 4, 4]),))
    assert re.search(rf"'image' has {elements} (bytes|elements); shape \[1, 4, 4\].* needs 16", message)


def test_no_input_at_all_is_refused(tensors: TensorTransport) -> None:
    assert "input 'image' of model 'tiny' is missing; the request has []" in refusal(tensors, inputs=())


def test_an_input_that_comes_twice_is_refused(tensors: TensorTransport) -> None:
    assert "'image' appears twice" in refusal(tensors, inputs=(IMAGE, IMAGE))


def test_an_input_too_many_is_refused(tensors: TensorTransport) -> None:
    assert "no input 'mask'; it has ['image']" in refusal(tensors, inputs=(IMAGE, tensor(example(1), "mask")))


def test_a_missing_input_among_many_is_named(tensors: TensorTransport) -> None:
    given = [tensor(extremes(name), name.lower()) for name in ECHO if name != "INT8"]
    assert "input 'int8' of model 'echo' is missing" in refusal(tensors, "echo", tuple(given))


def test_inputs_of_different_row_counts_are_refused(tensors: TensorTransport) -> None:
    rows = {name: extremes(name).repeat(3 if name == "FP32" else 1, axis=0) for name in ECHO}
    message = refusal(tensors, "echo", tuple(tensor(v, name.lower()) for name, v in rows.items()))
    assert "inputs have 1 and 3 rows" in message


def test_an_output_nobody_knows_is_refused_by_name(tensors: TensorTransport) -> None:
    assert "'tiny' has no output 'logits'; it has ['probabilities', 'mean']" in refusal(tensors, outputs="logits")


def test_an_output_asked_for_twice_is_refused(tensors: TensorTransport) -> None:
    assert "'mean' appears twice" in refusal(tensors, outputs="mean mean")


def test_more_outputs_than_any_model_has_are_refused_unread(tensors: TensorTransport) -> None:
    many = " ".join(f"o{i}" for i in range(5000))
    assert "5000 outputs; at most 4096 are allowed" in refusal(tensors, outputs=many)


def test_more_inputs_than_any_model_has_are_refused_unread(tensors: TensorTransport) -> None:
    many = tuple(Input(f"i{i}", "BOOL", [0], np.zeros(0, "?")) for i in range(5000))
    assert "5000 inputs; at most 4096 are allowed" in refusal(tensors, inputs=many)


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        ("tinny", "", "no model 'tinny'; did you mean 'tiny'?"),
        ("tiny", "9", "'tiny' has no version '9'; it has ['1', '2']"),
    ],
)
def test_an_unknown_model_or_version_is_not_found(
    tensors: TensorTransport, model: str, version: str, words: str
) -> None:
    with pytest.raises(Refused) as caught:
        tensors.infer(model, [IMAGE], version=version)
    assert caught.value.code == "NOT_FOUND"
    assert words in caught.value.message


def test_the_server_is_live_and_ready(oip: Rest | Grpc) -> None:
    assert oip.live()
    assert oip.ready()


def test_the_server_names_itself_and_its_version(oip: Rest | Grpc) -> None:
    metadata = oip.server_metadata()
    assert metadata.keys() == {"name", "version", "extensions"}
    assert (metadata["name"], metadata["version"]) == ("lectorium", installed_version("lectorium"))


# Where each extension is asked for, over REST and over gRPC.
EXTENSIONS = {
    "model_configuration": ("GET", "/v2/models/tiny/config", "ModelConfig"),
    "statistics": ("GET", "/v2/models/stats", "ModelStatistics"),
    "model_repository": ("POST", "/v2/repository/index", "RepositoryIndex"),
    "trace": ("GET", "/v2/trace/setting", "TraceSetting"),
    "logging": ("GET", "/v2/logging", "LogSettings"),
    "system_shared_memory": ("GET", "/v2/systemsharedmemory/status", "SystemSharedMemoryStatus"),
    "cuda_shared_memory": ("GET", "/v2/cudasharedmemory/status", "CudaSharedMemoryStatus"),
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_extension_is_listed_exactly_where_it_is_served(rest: Rest, oip_grpc: Grpc, extension: str) -> None:
    verb, path, method = EXTENSIONS[extension]
    assert rest.server_metadata() == oip_grpc.server_metadata()
    listed = extension in rest.server_metadata()["extensions"]
    assert (rest.client.request(verb, path).status_code == 200) == listed
    call: Any = oip_grpc.channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
    found = call.future(b"", timeout=10)
    assert (found.code() is not grpc.StatusCode.UNIMPLEMENTED) == listed


@pytest.mark.parametrize("version", ["", "1", "2"])
def test_a_served_model_is_ready_in_every_version(oip: Rest | Grpc, version: str) -> None:
    assert oip.ready("tiny", version)


@pytest.mark.parametrize(("model", "version"), [("nope", ""), ("tiny", "9"), ("tiny", "one"), ("x" * 10_000, "")])
def test_an_unknown_model_or_version_is_not_ready(oip: Rest | Grpc, model: str, version: str) -> None:
    assert not oip.ready(model, version)


@pytest.mark.parametrize(("version", "versions"), [("", ["1", "2"]), ("1", ["1"]), ("2", ["2"])])
def test_model_metadata_says_versions_and_tensors_with_the_batch_first(
    oip: Rest | Grpc, version: str, versions: list[str]
) -> None:
    assert oip.model_metadata("tiny", version) == {
        "name": "tiny",
        "versions": versions,
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 4, 4]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "mean", "datatype": "FP32", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize(("model", "version"), [("nope", ""), ("tiny", "9"), ("tiny", "one")])
def test_what_is_asked_of_an_unknown_model_is_not_found(oip: Rest | Grpc, model: str, version: str) -> None:
    for ask in (oip.model_metadata, oip.model_config, oip.statistics):
        with pytest.raises(Refused) as caught:
            ask(model, version)
        assert caught.value.code == "NOT_FOUND"
