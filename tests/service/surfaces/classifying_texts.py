"""The ways to have texts classified, each behind the same calls."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from protos.lectorium.v1 import vision_pb2 as pb
from tests.service.surfaces.image_transports import Http, Vision, read_message, the_only_one, without_unset
from tests.service.surfaces.transports import refuse_unless_ok
from tests.serving import Server

ONE, SEVERAL = "/v1/classify-text", "/v1/classify-text/batch"


class HttpText(Http):
    """`POST /v1/classify-text`."""

    def classify_text(self, text: str, **fields: Any) -> dict[str, Any]:
        return self._ask(ONE, {"text": text, **fields})

    def classify_texts(self, texts: Sequence[str], **fields: Any) -> dict[str, Any]:
        return self._ask(SEVERAL, {"texts": list(texts), **fields})

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(without_unset(refuse_unless_ok(self.client.post(path, json=body)).json()))


class VisionText(Vision):
    """`lectorium.v1.Vision/ClassifyText`."""

    def classify_text(self, text: str, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("ClassifyText", pb.ClassifyTextRequest(text=text, **fields)))

    def classify_texts(self, texts: Sequence[str], **fields: Any) -> dict[str, Any]:
        return read_message(self._call("ClassifyTextBatch", pb.ClassifyTextBatchRequest(texts=texts, **fields)))


class HttpTextBatch(HttpText):
    """`POST /v1/classify-text/batch`, a batch for each text."""

    def classify_text(self, text: str, **fields: Any) -> dict[str, Any]:
        return the_only_one(self.classify_texts([text], **fields))


class VisionTextBatch(VisionText):
    """`lectorium.v1.Vision/ClassifyTextBatch`, a batch for each text."""

    def classify_text(self, text: str, **fields: Any) -> dict[str, Any]:
        return the_only_one(self.classify_texts([text], **fields))


TextTransport = HttpText | VisionText
BATCHES: dict[str, Callable[[Server], TextTransport]] = {"http": HttpText, "vision_grpc": VisionText}
TRANSPORTS: dict[str, Callable[[Server], TextTransport]] = {
    **BATCHES,
    "http_batch": HttpTextBatch,
    "vision_batch": VisionTextBatch,
}


def ask(server: Server, way: str, text: str = "a text", **fields: Any) -> dict[str, Any]:
    """One text, the given way, on a connection of its own."""
    with closing(TRANSPORTS[way](server)) as transport:
        return transport.classify_text(text, **fields)
