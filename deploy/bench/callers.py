"""One caller on one kept connection, for each surface: lean, for what is measured is the server."""

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

# No poller thread of its own; and no report of each server it sees leave.
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
    """The answer was not 200; ``status`` is what it was."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__(f"{status}: {answer[:200]!r}")
        self.status = status


@contextmanager
def rest(port: int, subject: Subject) -> Iterator[Callable[[], bytes]]:
    """A call of the Open Inference REST endpoint; it returns the body."""
    with post(port, subject.path, *subject.rest()) as call:
        yield call


@contextmanager
def grpc_raw(port: int, subject: Subject) -> Iterator[Callable[[], pb.ModelInferResponse]]:
    """A call of ModelInfer; without a deadline, for which the library would keep a timer at both ends."""
    with channel(port) as opened:
        infer = infer_on(opened)
        request = subject.grpc()
        yield lambda: infer(request)


def channel(port: int) -> grpc.Channel:
    """A connection of its own: left to itself, the library shares one among all of a process."""
    return grpc.insecure_channel(f"{HOST}:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def infer_on(opened: grpc.Channel) -> Any:
    """ModelInfer of a channel."""
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
    """A POST by hand, for http.client alone would take a quarter of what is measured.

    The call raises Refused where the answer is not 200, OSError where there is none.
    """
    request = http_request(path, body, headers)
    with connect(port) as connection:

        def call() -> bytes:
            connection.sendall(request)
            return answer(connection)

        yield call


def connect(port: int) -> socket.socket:
    """A connection that sends at once what it is given."""
    connection = socket.create_connection((HOST, port), TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def http_request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST, whole."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket) -> bytes:
    """The body of the answer that comes next.

    Raises:
        Refused: it is not 200.
        OSError: there is none.
    """
    came = connection.recv(1 << 16)
    while not (found := ANSWER.match(came)) or len(found[3]) < int(found[2]):
        if not (more := connection.recv(1 << 16)):
            raise ConnectionResetError(f"closed after {came[:200]!r}")
        came += more
    if found[1] != b"200":
        raise Refused(int(found[1]), came)
    return found[3]
