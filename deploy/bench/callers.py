"""One caller on one kept connection, for each surface; with little cost of its own, as the server is measured."""

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

# The library gets no poller thread of its own, and does not log each server that closes a connection.
os.environ["GRPC_EXPERIMENTS"] = "-event_engine_client"
os.environ["GRPC_VERBOSITY"] = "ERROR"

import grpc
from PIL import Image

from deploy.bench.server import HOST
from deploy.bench.subject import Array, Subject
from protos import open_inference_pb2 as pb

ANSWER = re.compile(rb"HTTP/1.1 (\d+).*?content-length: (\d+).*?\r\n\r\n(.*)", re.DOTALL | re.IGNORECASE)
INFER = "/inference.GRPCInferenceService/ModelInfer"
TIMEOUT_S = 60


class Refused(Exception):
    """The answer was not 200; ``status`` is its status."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__(f"{status}: {answer[:200]!r}")
        self.status = status


@contextmanager
def rest(port: int, subject: Subject) -> Iterator[Callable[[], bytes]]:
    """A call of the Open Inference REST endpoint that returns the body."""
    with post(port, subject.path, *subject.rest()) as call:
        yield call


@contextmanager
def grpc_raw(port: int, subject: Subject) -> Iterator[Callable[[], pb.ModelInferResponse]]:
    """A call of ModelInfer, without a deadline: with one, the library would keep a timer at both ends."""
    with channel(port) as opened:
        infer = infer_on(opened)
        request = subject.grpc()
        yield lambda: infer(request)


def channel(port: int) -> grpc.Channel:
    """A connection of its own; by default the library shares one among all channels of a process."""
    return grpc.insecure_channel(f"{HOST}:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def infer_on(opened: grpc.Channel) -> Any:
    """The method ModelInfer of a channel."""
    return opened.unary_unary(
        INFER,
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )


@contextmanager
def classify(port: int, pixels: Array) -> Iterator[Callable[[], bytes]]:
    """A call of the task endpoint with a PNG of ``pixels`` (H, W)."""
    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="digit.png"\r\n\r\n'
    body = part + png.getvalue() + b"\r\n--b--\r\n"
    with post(port, "/v1/classify", body, {"Content-Type": "multipart/form-data; boundary=b"}) as call:
        yield call


@contextmanager
def post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> Iterator[Callable[[], bytes]]:
    """A POST over a plain socket, because http.client alone would take a quarter of the measured time.

    The call raises Refused if the answer is not 200, OSError if there is none.
    """
    request = http_request(path, body, headers)
    with connect(port) as connection:

        def call() -> bytes:
            connection.sendall(request)
            return answer(connection)

        yield call


def connect(port: int) -> socket.socket:
    """A connection that sends data without delay."""
    connection = socket.create_connection((HOST, port), TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def http_request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of a complete POST."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket) -> bytes:
    """The body of the next answer.

    Raises:
        Refused: its status is not 200.
        OSError: there is none.
    """
    received = connection.recv(1 << 16)
    while not (found := ANSWER.match(received)) or len(found[3]) < int(found[2]):
        if not (more := connection.recv(1 << 16)):
            raise ConnectionResetError(f"closed after {received[:200]!r}")
        received += more
    if found[1] != b"200":
        raise Refused(int(found[1]), received)
    return found[3]
