"""What only the gRPC form of the Open Inference Protocol has: contents, raw contents and parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from tests.packages import example, expected
from tests.service.surfaces.echo import extremes
from tests.service.surfaces.transports import Grpc, Refused, tensor

PIXELS = example(1)


def request(model: str = "tiny", **tensor: Any) -> pb.ModelInferRequest:
    """A request with one input, raw; ``tensor`` changes it."""
    entry = {"name": "image", "datatype": "UINT8", "shape": [1, 4, 4], **tensor}
    return pb.ModelInferRequest(
        model_name=model,
        inputs=[pb.ModelInferRequest.InferInputTensor(**entry)],
        raw_input_contents=[] if "contents" in tensor else [PIXELS.tobytes()],
    )


def refusal(oip_grpc: Grpc, wrong: pb.ModelInferRequest) -> str:
    """The message with which a wrong argument is refused."""
    with pytest.raises(Refused) as caught:
        oip_grpc.send(wrong)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert len(caught.value.message) < 1000
    return caught.value.message


def test_typed_contents_are_read_as_raw_ones_are(oip_grpc: Grpc) -> None:
    contents = pb.InferTensorContents(uint_contents=PIXELS.ravel().tolist())
    answer = oip_grpc.send(request(contents=contents))
    np.testing.assert_allclose(answer.outputs["probabilities"], expected(PIXELS, 2), atol=1e-6)


def test_fp16_is_carried_raw(oip_grpc: Grpc) -> None:
    answer = oip_grpc.infer("half", [tensor(extremes("FP16"), "fp16")])
    np.testing.assert_array_equal(answer.outputs["same_fp16"], extremes("FP16"))


def test_fp16_has_no_typed_form_and_the_refusal_says_what_has(oip_grpc: Grpc) -> None:
    contents = pb.InferTensorContents(fp32_contents=[1.0, 2.0])
    wrong = request("half", name="fp16", datatype="FP16", shape=[1, 2], contents=contents)
    assert "'fp16': FP16 has no JSON or protobuf form; send it as raw bytes" in refusal(oip_grpc, wrong)


def test_raw_and_typed_contents_in_one_request_are_refused(oip_grpc: Grpc) -> None:
    mixed = request(contents=pb.InferTensorContents(uint_contents=PIXELS.ravel().tolist()))
    mixed.raw_input_contents.append(PIXELS.tobytes())
    assert "'image' has contents; beside raw_input_contents none are allowed" in refusal(oip_grpc, mixed)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_another_number_of_raw_contents_than_of_inputs_is_refused(oip_grpc: Grpc, count: int) -> None:
    wrong = request()
    wrong.raw_input_contents.extend([PIXELS.tobytes()] * (count - 1))
    assert f"the request has {count} raw_input_contents; its 1 inputs need one each" in refusal(oip_grpc, wrong)


def test_contents_in_another_field_than_the_datatypes_are_refused(oip_grpc: Grpc) -> None:
    wrong = request(contents=pb.InferTensorContents(fp32_contents=[0.0] * 16))
    assert "'image' has fp32_contents; UINT8 must be in uint_contents" in refusal(oip_grpc, wrong)


def test_an_input_without_any_contents_is_refused(oip_grpc: Grpc) -> None:
    wrong = request(contents=pb.InferTensorContents())
    assert "'image' has no contents; UINT8 must be in uint_contents" in refusal(oip_grpc, wrong)


def test_typed_contents_outside_the_datatypes_range_are_refused(oip_grpc: Grpc) -> None:
    wrong = request(contents=pb.InferTensorContents(uint_contents=[0] * 15 + [256]))
    assert "'image' has elements 0 to 256; UINT8 holds 0 to 255" in refusal(oip_grpc, wrong)


def on_request(asked: pb.ModelInferRequest) -> Any:
    return asked.parameters


def on_input(asked: pb.ModelInferRequest) -> Any:
    return asked.inputs[0].parameters


def on_output(asked: pb.ModelInferRequest) -> Any:
    if not asked.outputs:
        asked.outputs.add(name="mean")
    return asked.outputs[0].parameters


@pytest.mark.parametrize("parameters", [on_request, on_input, on_output])
def test_unknown_parameters_are_passed_over(oip_grpc: Grpc, parameters: Callable[[pb.ModelInferRequest], Any]) -> None:
    asked = request()
    parameters(asked)["colour"].uint64_param = 1
    parameters(asked)["triton_enable_empty_final_response"].bool_param = True
    parameters(asked)["nothing"].CopyFrom(pb.InferParameter())
    np.testing.assert_allclose(oip_grpc.send(asked).outputs["mean"], PIXELS.mean((1, 2)), rtol=1e-6)


def test_a_known_parameter_of_another_kind_is_refused_by_name(oip_grpc: Grpc) -> None:
    wrong = request()
    wrong.parameters["priority"].string_param = "high"
    assert "'priority' is 'high'; it must be a whole number from 0" in refusal(oip_grpc, wrong)
    wrong = request()
    wrong.outputs.add(name="mean").parameters["classification"].bool_param = True
    assert "output 'mean': classification is True; it must be a whole number from 1" in refusal(oip_grpc, wrong)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ([-1, 4, 4], "shape is [-1, 4, 4]; at most 8 dimensions"),
        ([0, 1 << 62, 1 << 62], "]; at most 8 dimensions"),
        ([-(1 << 63)], "]; at most 8 dimensions"),
        ([1] * 10_000, "] and more; at most 8 dimensions"),
        ([(1 << 63) - 1], "]; at most 8 dimensions"),
        ([], "16 bytes; shape [] of UINT8 needs 1"),
    ],
)
def test_an_impossible_shape_is_refused(oip_grpc: Grpc, shape: list[int], words: str) -> None:
    assert words in refusal(oip_grpc, request(shape=shape))


def test_an_empty_request_is_of_no_model(oip_grpc: Grpc) -> None:
    with pytest.raises(Refused, match="NOT_FOUND: no model ''"):
        oip_grpc.send(pb.ModelInferRequest())


@pytest.mark.parametrize("name", ["nope", "x" * 100_000, "\x00\n\u2028", "../tiny", "💥" * 50])
def test_any_unknown_name_is_not_found_and_the_message_stays_short(oip_grpc: Grpc, name: str) -> None:
    with pytest.raises(Refused) as caught:
        oip_grpc.send(request(name))
    assert caught.value.code == "NOT_FOUND"
    assert len(caught.value.message) < 700
