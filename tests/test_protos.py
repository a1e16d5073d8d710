"""The protocol files: the committed stubs are protoc's, and the wire is the published one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from protos import open_inference_pb2
from protos.lectorium.v1 import vision_pb2

ROOT = Path(__file__).parents[1]
ENDINGS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
PROTOS = ("protos/open_inference.proto", "protos/lectorium/v1/vision.proto")

# The published Open Inference Protocol, as much of it as is served: names, types and numbers.
PUBLISHED_CALLS = """
ServerLive ServerLiveRequest ServerLiveResponse
ServerReady ServerReadyRequest ServerReadyResponse
ModelReady ModelReadyRequest ModelReadyResponse
ServerMetadata ServerMetadataRequest ServerMetadataResponse
ModelMetadata ModelMetadataRequest ModelMetadataResponse
ModelInfer ModelInferRequest ModelInferResponse
"""
PUBLISHED_MESSAGES = """
ServerLiveRequest:
ServerLiveResponse: bool live 1
ServerReadyRequest:
ServerReadyResponse: bool ready 1
ModelReadyRequest: string name 1, string version 2
ModelReadyResponse: bool ready 1
ServerMetadataRequest:
ServerMetadataResponse: string name 1, string version 2, repeated string extensions 3
ModelMetadataRequest: string name 1, string version 2
ModelMetadataResponse: string name 1, repeated string versions 2, string platform 3, \
repeated ModelMetadataResponse.TensorMetadata inputs 4, repeated ModelMetadataResponse.TensorMetadata outputs 5
ModelMetadataResponse.TensorMetadata: string name 1, string datatype 2, repeated int64 shape 3
InferParameter: bool bool_param 1 of parameter_choice, int64 int64_param 2 of parameter_choice, \
string string_param 3 of parameter_choice, double double_param 4 of parameter_choice, \
uint64 uint64_param 5 of parameter_choice
InferTensorContents: repeated bool bool_contents 1, repeated int32 int_contents 2, repeated int64 int64_contents 3, \
repeated uint32 uint_contents 4, repeated uint64 uint64_contents 5, repeated float fp32_contents 6, \
repeated double fp64_contents 7, repeated bytes bytes_contents 8
ModelInferRequest: string model_name 1, string model_version 2, string id 3, map InferParameter parameters 4, \
repeated ModelInferRequest.InferInputTensor inputs 5, repeated ModelInferRequest.InferRequestedOutputTensor outputs 6, \
repeated bytes raw_input_contents 7
ModelInferRequest.InferInputTensor: string name 1, string datatype 2, repeated int64 shape 3, \
map InferParameter parameters 4, InferTensorContents contents 5
ModelInferRequest.InferRequestedOutputTensor: string name 1, map InferParameter parameters 2
ModelInferResponse: string model_name 1, string model_version 2, string id 3, map InferParameter parameters 4, \
repeated ModelInferResponse.InferOutputTensor outputs 5, repeated bytes raw_output_contents 6
ModelInferResponse.InferOutputTensor: string name 1, string datatype 2, repeated int64 shape 3, \
map InferParameter parameters 4, InferTensorContents contents 5
"""
# Ours; once released, a number keeps its meaning.
VISION_MESSAGES = """
ClassifyRequest: bytes image 1, string model 2, string version 3, uint32 top_k 4 of _top_k
ClassifyResponse: string model 1, string version 2, repeated Label labels 3, Timing timing 4
Label: string label 1, uint32 index 2, double probability 3
Timing: double queue_ms 1, double decode_ms 2, double compute_ms 3
"""
TYPES = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}


def messages(descriptors: Any, package: str) -> dict[str, str]:
    """Each message's fields, nested messages too, in the words used above."""
    found = {}
    for message in descriptors.values():
        if not message.GetOptions().map_entry:
            name = message.full_name.removeprefix(f"{package}.")
            found[name] = ", ".join(field(f, package) for f in message.fields)
            found |= messages(message.nested_types_by_name, package)
    return found


def field(descriptor: Any, package: str) -> str:
    kind = descriptor.message_type
    label = "repeated " if descriptor.is_repeated else ""
    if kind is not None and kind.GetOptions().map_entry:
        assert kind.fields_by_name["key"].type == descriptor.TYPE_STRING
        label, kind = "map ", kind.fields_by_name["value"].message_type
    type_ = kind.full_name.removeprefix(f"{package}.") if kind else TYPES[descriptor.type]
    choice = f" of {descriptor.containing_oneof.name}" if descriptor.containing_oneof else ""
    return f"{label}{type_} {descriptor.name} {descriptor.number}{choice}"


def listed(text: str) -> dict[str, str]:
    return {name: fields.strip() for name, _, fields in (line.partition(":") for line in text.strip().splitlines())}


def test_every_message_has_the_published_fields_types_and_numbers() -> None:
    found = messages(open_inference_pb2.DESCRIPTOR.message_types_by_name, "inference")
    assert found == listed(PUBLISHED_MESSAGES)


def test_package_service_and_calls_have_the_published_names() -> None:
    assert open_inference_pb2.DESCRIPTOR.package == "inference"
    services = open_inference_pb2.DESCRIPTOR.services_by_name
    assert list(services) == ["GRPCInferenceService"]
    calls = services["GRPCInferenceService"].methods
    found = [f"{call.name} {call.input_type.name} {call.output_type.name}" for call in calls]
    assert found == PUBLISHED_CALLS.strip().splitlines()
    assert not any(call.client_streaming or call.server_streaming for call in calls)


def test_visions_numbers_keep_their_meaning() -> None:
    assert messages(vision_pb2.DESCRIPTOR.message_types_by_name, "lectorium.v1") == listed(VISION_MESSAGES)
    calls = vision_pb2.DESCRIPTOR.services_by_name["Vision"].methods
    assert [(call.name, call.input_type.name, call.output_type.name) for call in calls] == [
        ("Classify", "ClassifyRequest", "ClassifyResponse")
    ]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What protoc makes of the committed .proto files."""
    out = tmp_path_factory.mktemp("generated")
    options = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *options, *PROTOS], cwd=ROOT, check=True)
    return out


@pytest.mark.parametrize(
    "stub", [p.replace(".proto", end) for p in PROTOS for end in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")]
)
def test_the_committed_stubs_are_what_protoc_makes(generated: Path, stub: str) -> None:
    assert (ROOT / stub).read_text() == (generated / stub).read_text(), "run `make protos`"
