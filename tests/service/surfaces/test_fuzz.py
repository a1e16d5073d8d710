"""Whatever a stranger sends, the answer is a result or a refusal: never a fault of ours."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.lectorium.v1 import vision_pb2
from service.tasks.registry import TASKS
from service.tasks.task import BatchTask
from tests.pictures import png
from tests.service.surfaces.classifying_texts import ONE, SEVERAL
from tests.service.surfaces.image_transports import Vision
from tests.service.surfaces.transports import JSON_LENGTH, Grpc, Refused, Rest, infer_path, refuse
from tests.serving import Server

PATH = infer_path("tiny")
Clients = dict[str, httpx.Client]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
DATATYPES = ["UINT8", "FP32", "INT64", "UINT64", "BOOL", "FP16", "BYTES", "uint8", ""]
SHAPES = st.just([1, 4, 4]) | st.lists(st.sampled_from([0, 1, 2, 4, 16, 1 << 31, 1 << 62, -1]), max_size=10)
DATA = st.lists(st.integers(0, 255), min_size=16, max_size=16) | st.recursive(
    st.lists(SCALARS, max_size=16), lambda inner: st.lists(inner, max_size=4), max_leaves=8
)


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return good | good | good | ANYTHING


INPUT = st.fixed_dictionaries(
    {"name": mostly(st.just("image")), "datatype": mostly(st.sampled_from(DATATYPES)), "shape": mostly(SHAPES)},
    optional={"data": mostly(DATA), "parameters": mostly(st.builds(dict, binary_data_size=st.integers(-2, 20)))},
)
OUTPUT = st.fixed_dictionaries(
    {"name": mostly(st.sampled_from(["probabilities", "mean"]))},
    optional={"parameters": mostly(st.builds(dict, binary_data=st.booleans()))},
)
MESSAGE = st.fixed_dictionaries(
    {"inputs": mostly(st.lists(INPUT, max_size=3))},
    optional={
        "id": mostly(st.text(st.characters(exclude_categories=["Cs"]))),
        "outputs": mostly(st.lists(OUTPUT, max_size=3)),
        "parameters": mostly(st.builds(dict, binary_data_output=st.booleans())),
        "else": ANYTHING,
    },
)


@pytest.fixture(scope="module")
def vision(server: Server) -> Iterator[Vision]:
    with closing(Vision(server)) as vision:
        yield vision


@pytest.fixture(scope="module")
def clients(server: Server) -> Iterator[Clients]:
    """A client of each port."""
    with httpx.Client(base_url=server.http) as http, httpx.Client(base_url=server.rest) as rest:
        yield {"http": http, "rest": rest}


def check(response: httpx.Response) -> None:
    """An answer, or a refusal with a message."""
    assert response.status_code in (200, 400, 404, 405, 413), response.text
    if response.status_code != 200:
        assert response.json().keys() == {"error"}
        assert 0 < len(response.json()["error"]) < 2000


@given(message=MESSAGE | ANYTHING, blob=st.binary(max_size=40), shift=st.sampled_from([0, 0, 0, -1, 1, 1 << 40]))
@example(message={"inputs": [{"name": "image", "datatype": "UINT8", "shape": [0, 1 << 62, 4]}]}, blob=b"", shift=0)
def test_any_json_is_answered_or_refused(rest: Rest, message: Any, blob: bytes, shift: int) -> None:
    header = orjson.dumps(message)
    check(rest.client.post(PATH, content=header + blob, headers={JSON_LENGTH: str(len(header) + shift)}))


@given(content=st.binary(max_size=200), length=st.none() | st.text("0123456789-+eEx.,", min_size=1, max_size=20))
def test_any_bytes_are_answered_or_refused(rest: Rest, content: bytes, length: str | None) -> None:
    headers = {} if length is None else {JSON_LENGTH: length}
    check(rest.client.post(PATH, content=content, headers=headers))


SEGMENT = st.sampled_from(["v2", "models", "tiny", "versions", "1", "infer", "ready", "health", "live", "stats", "v1"])


@given(
    verb=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
    segments=st.lists(SEGMENT | st.text(st.characters(exclude_categories=["Cs"]), max_size=10), max_size=7),
    port=st.sampled_from(["rest", "http"]),
)
def test_any_path_and_verb_are_answered_or_refused(clients: Clients, verb: str, segments: list[str], port: str) -> None:
    path = "".join("/" + quote(segment, safe=".;=@") for segment in segments)
    response = clients[port].request(verb, f"{clients[port].base_url}".rstrip("/") + path)
    if port == "http" and response.status_code == 307:
        return  # a slash too many
    check(response)


FIELDS = ["image", "images", "model", "version", "top_k", "views", "explain", "explain_label", "layer", "else"]
FIELDS += ["strategy", "beam_width", "length_penalty", "n_best", "temperature", "top_p", "seed", "max_words", "prefix"]
FIELDS += ["normalize"]
PICTURE = png()
VALUES = [b"", b"1", b"-1", b"null", b'"tiny"', b"tiny", b"\xff", b"flip", b"ten_crop", b"cam", b"deconv", b'"\\ud800"']
VALUES += [b"beam", b"sample", b"0.5", b"1e3", b"a cat", b"captioner", b"true", b"vectors"]
PATHS = [
    f"/v1/{task.name}{way}"
    for task in TASKS
    for way in ("", "/stream" if task.events else "", "/batch" if issubclass(task, BatchTask) else "")
]
FORM = st.lists(
    st.tuples(
        st.sampled_from(FIELDS),
        st.binary(max_size=30) | st.sampled_from([*VALUES, PICTURE]),
        st.sampled_from(['; filename="a"', ""]),
    ),
    max_size=6,
)


@given(
    form=FORM,
    cut=st.integers(0, 10),
    boundary=st.sampled_from(["x", "x", "x", "y", '"', "x" * 300]),
    path=st.sampled_from(PATHS),
)
def test_any_form_is_answered_or_refused(clients: Clients, form: list[Any], cut: int, boundary: str, path: str) -> None:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), file.encode(), value)
        for name, value, file in form
    ]
    body = b"".join([*parts, b"--x--\r\n"])
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    check(clients["http"].post(path, content=body[: len(body) - cut], headers=headers))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
ASKED = {
    "model": st.sampled_from(["tiny", "", "slow"]) | TEXT,
    "version": st.sampled_from(["", "1"]) | TEXT,
    "top_k": st.none() | st.integers(0, 4) | st.just((1 << 32) - 1),
    "views": st.sampled_from(["", "single", "flip", "ten_crop"]) | TEXT,
    "explain": st.sampled_from(["", "cam", "deconv"]) | TEXT,
    "explain_label": st.sampled_from(["", "one", "0", "9" * 99]) | TEXT,
    "layer": st.just("") | TEXT,
    "id": TEXT,
}
IMAGE = st.just(PICTURE) | st.binary(max_size=30)
# NUL, and as many characters as make a text too long, among them.
A_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ABOUT_A_TEXT = {
    "model": st.sampled_from(["letters", "", "tiny"]) | TEXT,
    "version": ASKED["version"],
    "top_k": ASKED["top_k"],
}
ABOUT_AN_EMBEDDING = {
    "model": st.sampled_from(["vectors", "", "tiny"]) | TEXT,
    "version": ASKED["version"],
    "normalize": st.booleans(),
}
ABOUT_A_MASK = {
    "model": st.sampled_from(["colours", "seeing", "", "tiny"]) | TEXT,
    "version": ASKED["version"],
    "output": st.sampled_from(["", "mask", "statistics,overlay", "rle,polygons, instances", "mask,mask"]) | TEXT,
    "opacity": st.none() | st.floats(),
    "method": st.sampled_from(["", "cam"]) | TEXT,
    "label": st.sampled_from(["", "one", "2"]) | TEXT,
    "threshold": st.none() | st.floats(),
}
ABOUT_TILES = {"tile": st.booleans(), "overlap": st.none() | st.integers(0, 2**32 - 1)}
VISION_CALLS = {
    "Classify": st.builds(vision_pb2.ClassifyRequest, image=IMAGE, **ASKED),
    "ClassifyBatch": st.builds(vision_pb2.ClassifyBatchRequest, images=st.lists(IMAGE, max_size=3), **ASKED),
    "ClassifyText": st.builds(vision_pb2.ClassifyTextRequest, text=A_TEXT, id=TEXT, **ABOUT_A_TEXT),
    "ClassifyTextBatch": st.builds(
        vision_pb2.ClassifyTextBatchRequest, texts=st.lists(A_TEXT, max_size=4), id=TEXT, **ABOUT_A_TEXT
    ),
    "Embed": st.builds(vision_pb2.EmbedRequest, image=IMAGE, id=TEXT, **ABOUT_AN_EMBEDDING),
    "EmbedBatch": st.builds(
        vision_pb2.EmbedBatchRequest, images=st.lists(IMAGE, max_size=3), id=TEXT, **ABOUT_AN_EMBEDDING
    ),
    "Segment": st.builds(vision_pb2.SegmentRequest, image=IMAGE, id=TEXT, **ABOUT_A_MASK, **ABOUT_TILES),
    "SegmentTiles": st.builds(vision_pb2.SegmentRequest, image=IMAGE, id=TEXT, **ABOUT_A_MASK, **ABOUT_TILES),
    "SegmentBatch": st.builds(
        vision_pb2.SegmentBatchRequest, images=st.lists(IMAGE, max_size=3), id=TEXT, **ABOUT_A_MASK
    ),
}


STREAMED = ("SegmentTiles",)


@pytest.mark.parametrize("call", VISION_CALLS)
def test_any_vision_message_is_answered_or_refused(vision: Vision, call: str) -> None:
    @given(request=VISION_CALLS[call])
    def sends(request: Any) -> None:
        try:
            answer = getattr(vision.stub, call)(request, timeout=10)
            *_, answer = answer if call in STREAMED else [answer]
        except grpc.RpcError as error:
            with pytest.raises(Refused) as refused:
                refuse(error)
            assert refused.value.code in ("INVALID_ARGUMENT", "NOT_FOUND"), refused.value
            assert 0 < len(refused.value.message) < 2000
        else:
            assert answer.id == request.id

    sends()


TEXT_BODIES = {
    ONE: st.fixed_dictionaries({"text": mostly(A_TEXT)}, optional={**ABOUT_A_TEXT, "else": ANYTHING}),
    SEVERAL: st.fixed_dictionaries(
        {"texts": mostly(st.lists(A_TEXT, max_size=4))}, optional={**ABOUT_A_TEXT, "top_k": ANYTHING}
    ),
}


@pytest.mark.parametrize("path", TEXT_BODIES)
def test_any_json_about_texts_is_answered_or_refused(clients: Clients, path: str) -> None:
    @given(message=TEXT_BODIES[path] | ANYTHING, cut=st.sampled_from([0, 0, 0, 1, 7]))
    def sends(message: Any, cut: int) -> None:
        body = orjson.dumps(message)
        check(clients["http"].post(path, content=body[: len(body) - cut]))

    sends()


CAPTION = st.builds(
    vision_pb2.CaptionRequest,
    image=IMAGE,
    model=st.sampled_from(["captioner", "", "tiny"]) | TEXT,
    strategy=st.sampled_from(["", "greedy", "sample", "beam"]) | TEXT,
    beam_width=st.none() | st.integers(0, 9),
    length_penalty=st.none() | st.floats(),
    n_best=st.none() | st.integers(0, 9),
    temperature=st.none() | st.floats(),
    top_k=st.none() | st.just((1 << 32) - 1) | st.integers(0, 9),
    top_p=st.none() | st.floats(),
    seed=st.none() | st.integers(0, (1 << 64) - 1),
    max_words=st.none() | st.integers(0, 14),
    prefix=st.sampled_from(["", "a", "a <end>", "cat <end> a", "<pad>"]) | TEXT,
    attention=st.sampled_from(["", "none", "values", "png"]) | TEXT,
    id=TEXT,
)


@given(request=CAPTION)
def test_any_caption_message_is_answered_or_refused(vision: Vision, request: vision_pb2.CaptionRequest) -> None:
    try:
        *_, last = vision.stub.Caption(request, timeout=10)
    except grpc.RpcError as error:
        with pytest.raises(Refused) as refused:
            refuse(error)
        assert refused.value.code in ("INVALID_ARGUMENT", "NOT_FOUND"), refused.value
        assert 0 < len(refused.value.message) < 2000
    else:
        assert last.answer.captions
        assert last.id == request.id


WORDS = st.sampled_from(["tiny", "image", "UINT8", "mean", "2", ""]) | st.text(st.characters(exclude_categories=["Cs"]))
TENSOR = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=WORDS,
    datatype=st.sampled_from(DATATYPES),
    shape=SHAPES,
    contents=st.none() | st.builds(pb.InferTensorContents, uint_contents=st.lists(st.integers(0, 300), max_size=16)),
)


@given(
    request=st.builds(
        pb.ModelInferRequest,
        model_name=st.just("tiny") | WORDS,
        model_version=st.just("") | WORDS,
        id=WORDS,
        inputs=st.lists(TENSOR, max_size=3),
        outputs=st.lists(st.builds(pb.ModelInferRequest.InferRequestedOutputTensor, name=WORDS), max_size=3),
        raw_input_contents=st.lists(st.binary(max_size=20), max_size=3),
    )
)
def test_any_grpc_message_is_answered_or_refused(oip_grpc: Grpc, request: pb.ModelInferRequest) -> None:
    try:
        oip_grpc.send(request)
    except Refused as error:
        refused = error
    else:
        return
    assert refused.code in ("INVALID_ARGUMENT", "NOT_FOUND"), refused
    assert 0 < len(refused.message) < 2000


@given(data=st.binary(max_size=100))
def test_any_grpc_bytes_are_answered_or_refused(oip_grpc: Grpc, data: bytes) -> None:
    call: Any = oip_grpc.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(Exception, match=r"INVALID_ARGUMENT|NOT_FOUND"):
        call(data, timeout=10)
