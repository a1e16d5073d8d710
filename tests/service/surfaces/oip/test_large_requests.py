"""Requests of very many values: how many lists there may be, and that the event loop goes on while they are read."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import orjson
import pytest

from protos import open_inference_pb2 as pb
from service.config import Config
from service.engine import Answer, Engine, Model
from service.errors import InvalidArgument
from service.package import Graph, TensorSpec
from service.surfaces.gate import Gate
from service.surfaces.http.disconnect import ON_HANG_UP, Message
from service.surfaces.oip import generate, rest
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.grpc_messages import read_request as read_grpc
from service.surfaces.oip.infer_messages import InferRequest
from service.surfaces.oip.rest import OipRest
from service.surfaces.oip.rest_messages import LARGE, MAX_LISTS, read_request
from tests.service.surfaces.asgi import Receive
from tests.service.surfaces.asgi import body as in_chunks

SPEC = TensorSpec(name="x", datatype="UINT8", shape=(-1, 1))
GRAPH = Graph(file="model.onnx", inputs=(SPEC,), outputs=(SPEC,), max_batch=64)
MODEL = cast(Model, SimpleNamespace(name="m", version="1", program=GRAPH))
PATIENCE_S = 20
ROWS = LARGE // 2


def infer_body(data: bytes, rows: int) -> bytes:
    return b'{"inputs":[{"name":"x","datatype":"UINT8","shape":[%d,1],"data":%b}]}' % (rows, data)


def rows_of(element: bytes, rows: int) -> bytes:
    return b"[" + b",".join([element] * rows) + b"]"


@pytest.mark.parametrize(("element", "kind"), [(b"[]", "lists"), (b"[1]", "lists"), (b"{}", "objects")])
def test_json_of_more_lists_or_objects_than_are_allowed_is_refused_before_it_is_parsed(
    element: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orjson, "loads", None)
    body = infer_body(rows_of(element, MAX_LISTS + 1), 1)
    with pytest.raises(InvalidArgument, match=rf"the JSON has \d+ {kind}; at most 1048576 are allowed"):
        read_request(body, None, MODEL)


def test_brackets_among_the_binary_inputs_do_not_count() -> None:
    parameters = {"binary_data_size": MAX_LISTS + 1}
    entry = {"name": "x", "datatype": "UINT8", "shape": [MAX_LISTS + 1, 1], "parameters": parameters}
    head = orjson.dumps({"inputs": [entry]})
    request, _ = read_request(head + b"[" * (MAX_LISTS + 1), len(head), MODEL)
    assert request.tensors()["x"].shape == (MAX_LISTS + 1, 1)
    assert not request.large


@pytest.mark.parametrize(("count", "large"), [(1, False), (1 << 18, True)])
def test_a_grpc_request_is_large_by_its_listed_values(count: int, large: bool) -> None:
    message = pb.ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype="UINT8", shape=[count, 1])
    tensor.contents.uint_contents.extend([7] * count)
    request = read_grpc(message, MODEL)
    assert request.large == large
    np.testing.assert_array_equal(request.tensors()["x"], np.full((count, 1), 7, "u1"))


def waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, after the running event loop has gone on; called on the loop, it would wait in vain."""
    loop, went_on = asyncio.get_running_loop(), threading.Event()

    def waits(*args: Any) -> Any:
        loop.call_soon_threadsafe(went_on.set)
        assert went_on.wait(PATIENCE_S), "the event loop was held up"
        return function(*args)

    return waits


@pytest.mark.parametrize("path", ["infer", "generate"])
async def test_the_event_loop_goes_on_while_a_large_request_is_read(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = rest if path == "infer" else generate
    name = "read_request" if path == "infer" else "read_generate"
    monkeypatch.setattr(module, name, waiting(getattr(module, name)))
    monkeypatch.setattr(InferRequest, "tensors", waiting(InferRequest.tensors))
    data = rows_of(b"7", ROWS) if path == "infer" else rows_of(b"[7]", ROWS)
    body = infer_body(data, ROWS) if path == "infer" else b'{"x":%b}' % data
    asked, status = await answered(path, body)
    assert status == 200
    np.testing.assert_array_equal(asked["x"], np.full((ROWS, 1), 7, "u1"))


async def answered(path: str, body: bytes) -> tuple[dict[str, Any], int]:
    """What the engine was asked, and the status of the answer."""
    asked: dict[str, Any] = {}

    async def infer(model: Model, version: str, inputs: dict[str, Any], *_: Any) -> Answer:
        asked.update(inputs)
        return Answer({"y": np.zeros((1, 1), "u1")}, 0, 0)

    repository = SimpleNamespace(get=lambda name, version: MODEL)
    engine = cast(Engine, SimpleNamespace(repository=repository, infer=infer, alive=True, why_not_ready=""))
    gate, config, sent = Gate(engine), Config(), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/v2/models/m/{path}", "headers": []}
    request = {**scope, ON_HANG_UP: lambda function: True}
    await OipRest(DataPlane(engine, gate, config), gate, config)(request, Receive(in_chunks(body)), send)
    return asked, sent[0]["status"]
