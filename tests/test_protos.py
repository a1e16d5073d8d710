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

# What every server of the protocol has, whole; of the rest, what is served may leave fields out.
CORE = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
CORE_MESSAGES = {f"{call}{end}" for call in CORE for end in ("Request", "Response")} | {
    "ModelMetadataResponse.TensorMetadata",
    "ModelInferRequest.InferInputTensor",
    "ModelInferRequest.InferRequestedOutputTensor",
    "ModelInferResponse.InferOutputTensor",
    "InferParameter",
    "InferTensorContents",
}
# Ours; once released, a number keeps its meaning.
_OPTIONS = [
    "string model 2",
    "string version 3",
    "uint32 top_k 4 of _top_k",
    "string views 5",
    "string explain 6",
    "string explain_label 7",
    "string layer 8",
    "string id 9",
]
_SAMPLES = [
    "uint32 count 1 of _count",
    "string model 2",
    "string version 3",
    "string label 4",
    "uint64 seed 5 of _seed",
    "uint32 steps 6 of _steps",
    "double guidance 7 of _guidance",
    "double temperature 8 of _temperature",
    "double truncation 9 of _truncation",
    "string output 10",
    "string id 11",
]
_CHANGED = ["string model 1", "string version 2", "string index 3", "string name 4"]
VISION = {
    "ClassifyRequest": ["bytes image 1", *_OPTIONS],
    "ClassifyResponse": [
        "string model 1",
        "string version 2",
        "repeated Label labels 3",
        "Timing timing 4",
        "Explanation explanation 5",
        "string id 6",
    ],
    "ClassifyBatchRequest": ["repeated bytes images 1", *_OPTIONS],
    "ClassifyBatchResponse": [
        "string model 1",
        "string version 2",
        "repeated ClassifyResult results 3",
        "Timing timing 4",
        "string id 5",
    ],
    "ClassifyResult": ["repeated Label labels 1", "Explanation explanation 2"],
    "ClassifyStreamResponse": ["string id 1", "ClassifyResponse response 2 of outcome", "Error error 3 of outcome"],
    "Error": ["string code 1", "string message 2"],
    "Label": ["string label 1", "uint32 index 2", "double probability 3"],
    "Explanation": [
        "string method 1",
        "string label 2",
        "uint32 index 3 of _index",
        "string layer 4",
        "repeated Evidence evidence 5",
    ],
    "Evidence": [
        "uint32 map 1 of _map",
        "double strength 2 of _strength",
        "bytes png 3",
        "repeated uint32 shape 4",
        "bytes values 5",
    ],
    "CaptionRequest": [
        "bytes image 1",
        "string model 2",
        "string version 3",
        "string strategy 4",
        "uint32 beam_width 5 of _beam_width",
        "double length_penalty 6 of _length_penalty",
        "uint32 n_best 7 of _n_best",
        "double temperature 8 of _temperature",
        "uint32 top_k 9 of _top_k",
        "double top_p 10 of _top_p",
        "uint64 seed 11 of _seed",
        "uint32 max_words 12 of _max_words",
        "string prefix 13",
        "string attention 14",
        "string id 15",
    ],
    "CaptionResponse": ["string id 1", "Word word 2 of event", "Captioning answer 3 of event"],
    "Captioning": [
        "string model 1",
        "string version 2",
        "repeated Caption captions 3",
        "uint64 seed 4 of _seed",
        "Timing timing 5",
    ],
    "Caption": ["string text 1", "double score 2", "repeated Word words 3"],
    "Word": ["string word 1", "double log_probability 2", "Attention attention 3"],
    "Attention": ["bytes png 1", "repeated uint32 shape 2", "bytes values 3"],
    "ClassifyTextRequest": [
        "string text 1",
        "string model 2",
        "string version 3",
        "uint32 top_k 4 of _top_k",
        "string id 5",
    ],
    "ClassifyTextResponse": [
        "string model 1",
        "string version 2",
        "repeated Label labels 3",
        "Timing timing 4",
        "string id 5",
    ],
    "ClassifyTextBatchRequest": [
        "repeated string texts 1",
        "string model 2",
        "string version 3",
        "uint32 top_k 4 of _top_k",
        "string id 5",
    ],
    "ClassifyTextBatchResponse": [
        "string model 1",
        "string version 2",
        "repeated TextLabels results 3",
        "Timing timing 4",
        "string id 5",
    ],
    "TextLabels": ["repeated Label labels 1"],
    "EmbedRequest": ["bytes image 1", "string model 2", "string version 3", "bool normalize 4", "string id 5"],
    "EmbedResponse": [
        "string model 1",
        "string version 2",
        "repeated float embedding 3",
        "Timing timing 4",
        "string id 5",
    ],
    "EmbedBatchRequest": [
        "repeated bytes images 1",
        "string model 2",
        "string version 3",
        "bool normalize 4",
        "string id 5",
    ],
    "EmbedBatchResponse": [
        "string model 1",
        "string version 2",
        "repeated Embedded results 3",
        "Timing timing 4",
        "string id 5",
    ],
    "Embedded": ["repeated float embedding 1"],
    "SegmentRequest": [
        "bytes image 1",
        "string model 2",
        "string version 3",
        "string output 4",
        "double opacity 5 of _opacity",
        "string id 6",
        "bool tile 7",
        "uint32 overlap 8 of _overlap",
        "string method 9",
        "string label 10",
        "double threshold 11 of _threshold",
    ],
    "SegmentResponse": [
        "string model 1",
        "string version 2",
        "uint32 height 3",
        "uint32 width 4",
        "repeated SegmentClass classes 5",
        "bytes mask 6",
        "bytes overlay 7",
        "bytes indices 8",
        "repeated RunLengthMask rle 9",
        "repeated ClassOutline polygons 10",
        "repeated ClassInstances instances 11",
        "Timing timing 12",
        "string id 13",
    ],
    "SegmentBatchRequest": [
        "repeated bytes images 1",
        "string model 2",
        "string version 3",
        "string output 4",
        "double opacity 5 of _opacity",
        "string id 6",
        "string method 7",
        "string label 8",
        "double threshold 9 of _threshold",
    ],
    "SegmentBatchResponse": [
        "string model 1",
        "string version 2",
        "repeated Segmented results 3",
        "Timing timing 4",
        "string id 5",
    ],
    "SegmentTilesResponse": ["string id 1", "SegmentTile tile 2 of event", "SegmentResponse answer 3 of event"],
    "SegmentTile": [
        "uint32 number 1",
        "uint32 tiles 2",
        "uint32 left 3",
        "uint32 top 4",
        "uint32 width 5",
        "uint32 height 6",
        "bytes mask 7",
    ],
    "SegmentStreamRequest": ["SegmentRequest request 1", "bool skippable 2"],
    "SegmentStreamResponse": ["string id 1", "SegmentResponse response 2 of outcome", "Error error 3 of outcome"],
    "Segmented": [
        "uint32 height 1",
        "uint32 width 2",
        "repeated SegmentClass classes 3",
        "bytes mask 4",
        "bytes overlay 5",
        "bytes indices 6",
        "repeated RunLengthMask rle 7",
        "repeated ClassOutline polygons 8",
        "repeated ClassInstances instances 9",
    ],
    "SegmentClass": [
        "string label 1",
        "uint32 index 2",
        "string colour 3",
        "bool background 4",
        "uint32 pixels 5 of _pixels",
        "double share 6 of _share",
        "double confidence 7 of _confidence",
    ],
    "RunLengthMask": ["string label 1", "uint32 index 2", "repeated uint32 size 3", "string counts 4"],
    "ClassOutline": ["string label 1", "uint32 index 2", "string type 3", "repeated Polygon coordinates 4"],
    "Polygon": ["repeated Ring rings 1"],
    "Ring": ["repeated uint32 points 1"],
    "ClassInstances": ["string label 1", "uint32 index 2", "uint32 count 3", "repeated Instance objects 4"],
    "Instance": ["repeated uint32 box 1", "uint32 pixels 2"],
    "GenerateRequest": _SAMPLES,
    "GenerateResponse": [
        "string model 1",
        "string version 2",
        "repeated bytes images 3",
        "bytes grid 4",
        "uint32 height 5",
        "uint32 width 6",
        "repeated string labels 7",
        "uint64 seed 8",
        "uint32 steps 9",
        "Timing timing 10",
        "string id 11",
    ],
    "GenerateStepsRequest": [*_SAMPLES, "uint32 every 12 of _every"],
    "GenerateStepsResponse": ["string id 1", "Preview preview 2 of event", "GenerateResponse answer 3 of event"],
    "Preview": ["uint32 step 1", "uint32 steps 2", "bytes grid 3"],
    "SearchRequest": [
        "bytes image 1",
        "string index 2",
        "uint32 k 3 of _k",
        "bool thumbnails 4",
        "string model 5",
        "string version 6",
        "string id 7",
    ],
    "SearchResponse": [
        "string model 1",
        "string version 2",
        "string index 3",
        "string metric 4",
        "uint32 items 5",
        "repeated FoundItem results 6",
        "IndexTiming timing 7",
        "string id 8",
    ],
    "FoundItem": ["string name 1", "double distance 2", "double similarity 3", "bytes thumbnail 4"],
    "SearchAddRequest": [
        "bytes image 1",
        "string index 2",
        "string name 3",
        "string model 4",
        "string version 5",
        "string id 6",
    ],
    "SearchAddResponse": [*_CHANGED, "bool replaced 5", "uint32 items 6", "IndexTiming timing 7", "string id 8"],
    "SearchRemoveRequest": ["string index 1", "string name 2", "string model 3", "string version 4", "string id 5"],
    "SearchRemoveResponse": [*_CHANGED, "bool removed 5", "uint32 items 6", "IndexTiming timing 7", "string id 8"],
    "IndexTiming": ["double queue_ms 1", "double decode_ms 2", "double compute_ms 3", "double index_ms 4"],
    "Timing": ["double queue_ms 1", "double decode_ms 2", "double compute_ms 3"],
}
VISION_CALLS = {
    "Classify": "ClassifyRequest ClassifyResponse",
    "ClassifyBatch": "ClassifyBatchRequest ClassifyBatchResponse",
    "ClassifyStream": "stream ClassifyRequest stream ClassifyStreamResponse",
    "Caption": "CaptionRequest stream CaptionResponse",
    "ClassifyText": "ClassifyTextRequest ClassifyTextResponse",
    "ClassifyTextBatch": "ClassifyTextBatchRequest ClassifyTextBatchResponse",
    "Embed": "EmbedRequest EmbedResponse",
    "EmbedBatch": "EmbedBatchRequest EmbedBatchResponse",
    "Segment": "SegmentRequest SegmentResponse",
    "SegmentBatch": "SegmentBatchRequest SegmentBatchResponse",
    "SegmentTiles": "SegmentRequest stream SegmentTilesResponse",
    "SegmentStream": "stream SegmentStreamRequest stream SegmentStreamResponse",
    "Generate": "GenerateRequest GenerateResponse",
    "GenerateSteps": "GenerateStepsRequest stream GenerateStepsResponse",
    "Search": "SearchRequest SearchResponse",
    "SearchAdd": "SearchAddRequest SearchAddResponse",
    "SearchRemove": "SearchRemoveRequest SearchRemoveResponse",
}
# By descriptor.proto's numbers of them.
_NAMES = "double float int64 uint64 int32 fixed64 fixed32 bool string group message bytes uint32"
TYPES = dict(enumerate(_NAMES.split(" "), start=1))


def published(kind: str) -> dict[str, list[str]]:
    """The published calls, messages or enums: what each holds, in the words of `field` and its neighbours."""
    lines = (ROOT / "tests/data/open_inference.txt").read_text().splitlines()
    listed = [line.removeprefix(f"{kind} ").partition(":") for line in lines if line.startswith(f"{kind} ")]
    return {name: [held for held in holds.strip().split(", ") if held] for name, _, holds in listed}


def messages(descriptors: Any, outer: str = "") -> dict[str, Any]:
    """Each message, nested ones too, by its name in the file."""
    found = {}
    for name, message in descriptors.items():
        if not message.GetOptions().map_entry:
            found[outer + name] = message
            found |= messages(message.nested_types_by_name, f"{outer}{name}.")
    return found


def fields(message: Any) -> list[str]:
    return [field(descriptor) for descriptor in message.fields]


def field(descriptor: Any) -> str:
    label = "repeated " if descriptor.is_repeated else ""
    message = descriptor.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], message.fields_by_name["value"]
        kind, label = f"{kind_of(key)} {kind_of(value)}", "map "
    else:
        kind = kind_of(descriptor)
    choice = f" of {descriptor.containing_oneof.name}" if descriptor.containing_oneof else ""
    return f"{label}{kind} {descriptor.name} {descriptor.number}{choice}"


def kind_of(descriptor: Any) -> str:
    named = descriptor.message_type or descriptor.enum_type
    return str(named.name) if named else TYPES[descriptor.type]


def call(method: Any) -> str:
    streams = ("stream " if streaming else "" for streaming in (method.client_streaming, method.server_streaming))
    return f"{next(streams)}{method.input_type.name} {next(streams)}{method.output_type.name}"


OURS = messages(open_inference_pb2.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize("name", OURS)
def test_a_message_has_the_published_names_types_and_numbers(name: str) -> None:
    assert [mine for mine in fields(OURS[name]) if mine not in published("message")[name]] == []


@pytest.mark.parametrize("name", sorted(CORE_MESSAGES))
def test_a_message_of_the_core_has_every_published_field(name: str) -> None:
    assert sorted(fields(OURS[name])) == sorted(published("message")[name])


def test_enums_have_the_published_names_and_numbers() -> None:
    for name, enum in open_inference_pb2.DESCRIPTOR.enum_types_by_name.items():
        assert [f"{value.name} {value.number}" for value in enum.values] == published("enum")[name]


def test_package_service_and_calls_have_the_published_names() -> None:
    assert open_inference_pb2.DESCRIPTOR.package == "inference"
    services = open_inference_pb2.DESCRIPTOR.services_by_name
    assert list(services) == ["GRPCInferenceService"]
    calls = {method.name: call(method) for method in services["GRPCInferenceService"].methods}
    assert set(CORE) <= calls.keys()
    assert {name: [signature] for name, signature in calls.items()} == {name: published("call")[name] for name in calls}


def test_visions_numbers_keep_their_meaning() -> None:
    found = messages(vision_pb2.DESCRIPTOR.message_types_by_name)
    assert {name: fields(message) for name, message in found.items()} == VISION
    calls = vision_pb2.DESCRIPTOR.services_by_name["Vision"].methods
    assert {method.name: call(method) for method in calls} == VISION_CALLS


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
