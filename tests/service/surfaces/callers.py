"""Callers that begin a request and do not wait for its answer: the returned function makes them leave."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import orjson

from protos import open_inference_pb2 as pb
from protos.lectorium.v1 import vision_pb2
from protos.lectorium.v1.vision_pb2_grpc import VisionStub
from protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests.packages import MAX_BATCH, example
from tests.pictures import png
from tests.service.surfaces.sockets import Reply, connect, read_reply
from tests.service.surfaces.transports import JSON_LENGTH, infer_path, open_channel
from tests.serving import Server, eventually

Leave = Callable[[], None]
# Many seconds of the slow model's time.
LONG = 300 * MAX_BATCH


def slow_request(rows: int) -> bytes:
    """A REST request for the slow model."""
    images = example(rows)
    size = {"binary_data_size": images.nbytes}
    header = orjson.dumps(
        {"inputs": [{"name": "image", "datatype": "UINT8", "shape": images.shape, "parameters": size}]}
    )
    head = (
        f"POST {infer_path('slow')} HTTP/1.1\r\nHost: x\r\n{JSON_LENGTH}: {len(header)}\r\n"
        f"Content-Length: {len(header) + images.nbytes}\r\n\r\n"
    )
    return head.encode() + header + images.tobytes()


def begin_rest(server: Server, rows: int = 1) -> Leave:
    """Ask the slow model over REST."""
    connection = connect(server.rest_port)
    connection.sendall(slow_request(rows))
    return connection.close


def begin_grpc(server: Server, rows: int = 1) -> Leave:
    """Ask the slow model over gRPC."""
    images = example(rows)
    entry = pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=images.shape)
    request = pb.ModelInferRequest(model_name="slow", inputs=[entry], raw_input_contents=[images.tobytes()])
    channel = open_channel(server)
    call = GRPCInferenceServiceStub(channel).ModelInfer.future(request)
    return lambda: _end(call, channel)


def begin_http(server: Server) -> Leave:
    """Ask the slow model about an image over HTTP."""
    return _post(server, "/v1/classify", _part("model", b"slow") + _part("image", png(), "a"))


def begin_http_batch(server: Server, images: int, **fields: str) -> Leave:
    """Ask a model about several."""
    return begin_images(server, [png()] * images, **fields)


def begin_images(server: Server, files: Sequence[bytes], **fields: str) -> Leave:
    """Ask a model about these."""
    texts = [_part(name, value.encode()) for name, value in fields.items()]
    return _post(server, "/v1/classify/batch", b"".join([*texts, *(_part("images", file, "a") for file in files)]))


def begin_caption(server: Server, image: bytes, **fields: object) -> Leave:
    """Ask a model for a caption."""
    texts = [_part(name, str(value).encode()) for name, value in fields.items()]
    return _post(server, "/v1/caption", b"".join([*texts, _part("image", image, "a")]))


class Upload:
    """A request over REST for `tiny` whose body comes in part at the beginning of the block, and in full by `finish`.

    It is inside the server all the while, so that a server told to end drains until then, however long that is.
    """

    _BODY = orjson.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 4, 4], "data": [0] * 16}]})

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = connect(server.rest_port)

    def __enter__(self) -> Self:
        before = in_flight(self._server, "oip_rest")
        head = f"POST {infer_path('tiny')} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(self._BODY)}\r\n\r\n"
        self._connection.sendall(head.encode() + self._BODY[:10])
        assert eventually(lambda: in_flight(self._server, "oip_rest") == before + 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def finish(self) -> Reply:
        """The answer."""
        self._connection.sendall(self._BODY[10:])
        return read_reply(self._connection)


def _part(name: str, value: bytes, file: str = "") -> bytes:
    named = f'name="{name}"' + (f'; filename="{file}"' if file else "")
    return f"--x\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + value + b"\r\n"


def _post(server: Server, path: str, parts: bytes) -> Leave:
    body = parts + b"--x--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    connection = connect(server.http_port)
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection.close


def begin_vision(server: Server) -> Leave:
    """Ask the slow model about an image over gRPC."""
    channel = open_channel(server)
    call = VisionStub(channel).Classify.future(vision_pb2.ClassifyRequest(image=png(), model="slow"))
    return lambda: _end(call, channel)


def begin_vision_batch(server: Server, images: int, **fields: Any) -> Leave:
    """Ask a model about several."""
    channel = open_channel(server)
    call = VisionStub(channel).ClassifyBatch.future(vision_pb2.ClassifyBatchRequest(images=[png()] * images, **fields))
    return lambda: _end(call, channel)


def _end(call: Any, channel: Any) -> None:
    call.cancel()
    channel.close()


# By surface.
BEGIN: dict[str, Callable[[Server], Leave]] = {
    "oip_rest": begin_rest,
    "oip_grpc": begin_grpc,
    "http": begin_http,
    "vision_grpc": begin_vision,
}
BEGIN_BATCH: dict[str, Callable[..., Leave]] = {"http": begin_http_batch, "vision_grpc": begin_vision_batch}


def in_flight(server: Server, surface: str) -> int:
    """Requests that have come in on that surface and are not answered yet."""
    return int(server.metric("lectorium_in_flight_requests", surface=surface))


def occupy_slow_model(server: Server) -> Leave:
    """Give the one lane a long request for `slow` to work through, and come back once it is at it."""
    leave = begin_grpc(server, LONG)
    assert eventually(lambda: server.metric("lectorium_queue_rows", model="slow") > MAX_BATCH)
    return leave


@contextmanager
def slow_model_occupied(server: Server) -> Iterator[None]:
    """Inside, the one lane works through a long request for `slow`; at the end, that caller leaves."""
    leave = occupy_slow_model(server)
    try:
        yield
    finally:
        leave()
        assert eventually(lambda: in_flight(server, "oip_grpc") == 0)
