"""The ways to have an image captioned, each behind the same call."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, NamedTuple, Protocol

import grpc
import httpx
import numpy as np
import orjson
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray

from protos.lectorium.v1 import vision_pb2 as pb
from tests.service.surfaces.image_transports import Http, Vision
from tests.service.surfaces.transports import TIMEOUT_S, refuse, refuse_unless_ok
from tests.serving import Server

STREAM = "/v1/caption/stream"


class Told(NamedTuple):
    """The words as they came before the answer (those of its best caption, where none do), and the answer."""

    words: list[dict[str, Any]]
    answer: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        return [caption["text"] for caption in self.answer["captions"]]

    @property
    def captions(self) -> list[dict[str, Any]]:
        return list(self.answer["captions"])


class CaptionTransport(Protocol):
    """One way to have an image captioned."""

    surface: str

    def caption(self, image: bytes, **fields: Any) -> Told:
        """Raises `Refused`."""

    def close(self) -> None: ...


class HttpCaption(Http):
    """`POST /v1/caption`."""

    def caption(self, image: bytes, **fields: Any) -> Told:
        answer = set_fields(self._post("/v1/caption", [("image", image)], fields))
        return Told(answer["captions"][0]["words"], answer)


class HttpCaptionStream(Http):
    """`POST /v1/caption/stream`."""

    def caption(self, image: bytes, **fields: Any) -> Told:
        response = refuse_unless_ok(self.client.post(STREAM, files=form(image, fields)))
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        *words, (name, answer) = events(response.text)
        assert {name for name, _ in words} <= {"word"}
        assert name == "answer", answer
        return Told([set_fields(word) for _, word in words], set_fields(answer))


class VisionCaption(Vision):
    """`lectorium.v1.Vision/Caption`."""

    def caption(self, image: bytes, **fields: Any) -> Told:
        *words, answer = self.responses(image, **fields)
        assert all(word.WhichOneof("event") == "word" for word in words)
        assert answer.WhichOneof("event") == "answer"
        return Told([read(word.word) for word in words], read(answer.answer))

    def responses(self, image: bytes, timeout_s: float = TIMEOUT_S, **fields: Any) -> list[pb.CaptionResponse]:
        """All that come."""
        call = self.stub.Caption(pb.CaptionRequest(image=image, **fields), timeout=timeout_s)
        try:
            return list(call)
        except grpc.RpcError as error:
            refuse(error)


TRANSPORTS: dict[str, Callable[[Server], CaptionTransport]] = {
    "http": HttpCaption,
    "http_stream": HttpCaptionStream,
    "vision_grpc": VisionCaption,
}


def ask(server: Server, way: str, image: bytes, **fields: Any) -> Told:
    """One caption, the given way, on a connection of its own."""
    with closing(TRANSPORTS[way](server)) as transport:
        return transport.caption(image, **fields)


def form(image: bytes, fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The multipart form, as httpx takes it."""
    return [("image", image), *((name, (None, str(value))) for name, value in fields.items())]


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Server-sent events, each by its name."""
    *found, rest = text.split("\n\n")
    assert rest == ""
    return [event(one.split("\n")) for one in found]


def event(lines: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """One event, of its two lines."""
    name, data = lines
    assert (name[:7], data[:6]) == ("event: ", "data: ")
    return name[7:], orjson.loads(data[6:])


def read(message: Any) -> dict[str, Any]:
    """The message as HTTP gives it."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    if "seed" in found:  # the library writes such integers as texts
        found["seed"] = int(found["seed"])
    return dict(set_fields(found))


def set_fields(found: Any) -> Any:
    """Without what is null over HTTP, and not set over gRPC."""
    if isinstance(found, dict):
        return {key: set_fields(value) for key, value in found.items() if value not in (None, "", [])}
    return [set_fields(value) for value in found] if isinstance(found, list) else found


def grid(word: dict[str, Any]) -> NDArray[np.float32]:
    """The attention of a word, of its values."""
    found = word["attention"]
    assert found.keys() == {"shape", "values"}
    return np.frombuffer(b64decode(found["values"], validate=True), "<f4").reshape(found["shape"])


def lines_of(response: httpx.Response) -> Iterable[tuple[str, dict[str, Any]]]:
    """The events of a response as they come."""
    lines = iter(response.iter_lines())
    for name in lines:
        yield event((name, next(lines)))
        assert next(lines) == ""
