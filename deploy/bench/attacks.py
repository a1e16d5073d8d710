"""Requests that a server must refuse. Each is a call that returns its outcome."""

import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from deploy.bench import callers
from deploy.bench.subject import Subject

BRACKETS = 200_000
WITHIN_S = 10
REFUSED, LEFT = "refused", "left"

Attack = Callable[[], str]


def rest(port: int, subject: Subject) -> dict[str, Attack]:
    """The attacks over REST, which a server must refuse with a 4xx."""
    body, headers = subject.rest()
    truncated = callers.http_request(subject.path, body, headers)[:-100]
    whole = callers.http_request(subject.path, body, headers)

    def post(body: bytes, headers: dict[str, str] | None = None) -> Attack:
        request = callers.http_request(subject.path, body, headers or {})
        return lambda: _end(port, request)

    attacks = {name: post(json.dumps(message).encode()) for name, message in _messages(subject)}
    return attacks | {
        "brackets": post(b"[" * BRACKETS),
        "brackets in a request": post(b'{"inputs":' + b"[" * BRACKETS),
        "bytes missing": post(body[:-100], headers),
        "no JSON": post(body[-300:]),
        "truncated": lambda: _leave(port, truncated),
        "left early": lambda: _leave(port, whole),
    }


def over_grpc(channel: grpc.Channel, subject: Subject) -> dict[str, Attack]:
    """The attacks over gRPC, which a server must refuse with INVALID_ARGUMENT."""
    infer = callers.infer_on(channel)
    raw: Any = channel.unary_unary(callers.INFER)
    garbage = subject.grpc().SerializeToString()[:-50]

    def call(**changes: Any) -> Attack:
        request = subject.grpc()
        for name, value in changes.items():
            setattr(request.inputs[0], name, value)
        return lambda: _code(infer.future(request, timeout=WITHIN_S))

    reshaped, short = subject.grpc(), subject.grpc()
    reshaped.inputs[0].shape[:] = [1, 3, 5]
    short.raw_input_contents[0] = short.raw_input_contents[0][:-100]
    return {
        "shape": lambda: _code(infer.future(reshaped, timeout=WITHIN_S)),
        "datatype": call(datatype="FP64"),
        "no datatype": call(datatype="IMAGE"),
        "name": call(name="picture"),
        "bytes missing": lambda: _code(infer.future(short, timeout=WITHIN_S)),
        "no message": lambda: _code(raw.future(garbage, timeout=WITHIN_S)),
        "left early": lambda: _cancel(infer.future(subject.grpc())),
    }


def _messages(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Well-formed JSON that the model cannot take."""
    good: dict[str, Any] = {"name": subject.input, "shape": [1, 2], "datatype": "UINT8", "data": [1, 2]}
    changes: dict[str, dict[str, Any]] = {
        "shape": {},
        "negative shape": {"shape": [-1, 2]},
        "huge shape": {"shape": [1 << 40, 1 << 40]},
        "datatype": {"datatype": "FP32"},
        "no datatype": {"datatype": "IMAGE"},
        "name": {"name": "picture"},
        "ragged": {"data": [[1], [2, 3]]},
        "text": {"data": ["a", "b"]},
    }
    for what, change in changes.items():
        yield what, {"inputs": [good | change]}
    yield "nothing", {}


def _end(port: int, request: bytes) -> str:
    with callers.connect(port) as connection:
        connection.settimeout(WITHIN_S)
        connection.sendall(request)
        try:
            callers.answer(connection)
        except callers.Refused as error:
            return REFUSED if 400 <= error.status < 500 else f"status {error.status}"
    return "status 200"


def _leave(port: int, request: bytes) -> str:
    """Send the request, and reset the connection before the answer."""
    with callers.connect(port) as connection:
        connection.sendall(request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return LEFT


def _code(call: Any) -> str:
    code: grpc.StatusCode = call.code()
    return REFUSED if code == grpc.StatusCode.INVALID_ARGUMENT else code.name


def _cancel(call: Any) -> str:
    call.cancel()
    return LEFT
