"""Image requests over every surface that takes them: HTTP and gRPC, one by one, in a batch and on a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import httpx
from google.protobuf.json_format import MessageToDict

from protos.lectorium.v1 import vision_pb2
from protos.lectorium.v1.vision_pb2_grpc import VisionStub
from tests.service.surfaces.transports import TIMEOUT_S, Refused, open_channel, refuse, refuse_unless_ok
from tests.serving import Server


class ImageTransport(Protocol):
    """One way to have an image classified."""

    surface: str

    def classify(self, image: bytes, **fields: object) -> dict[str, Any]:
        """Raises `Refused`."""

    def close(self) -> None: ...


@dataclass
class Http:
    """`POST /v1/classify`."""

    server: Server
    surface: str = "http"

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.server.http, timeout=TIMEOUT_S)

    def classify(self, image: bytes, **fields: object) -> dict[str, Any]:
        return self._post("/v1/classify", [("image", image)], fields)

    def classify_batch(self, images: Sequence[bytes], **fields: object) -> dict[str, Any]:
        return self._post("/v1/classify/batch", [("images", image) for image in images], fields)

    def close(self) -> None:
        self.client.close()

    def _post(self, path: str, files: list[tuple[str, bytes]], fields: Mapping[str, object]) -> dict[str, Any]:
        texts = [(key, (None, str(value))) for key, value in fields.items()]
        answer = self.client.post(path, files=[*files, *texts])
        return dict(without_unset(refuse_unless_ok(answer).json()))


@dataclass
class Vision:
    """`lectorium.v1.Vision/Classify`."""

    server: Server
    surface: str = "vision_grpc"
    options: Sequence[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.channel = open_channel(self.server)
        self.stub = VisionStub(self.channel)

    def classify(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("Classify", vision_pb2.ClassifyRequest(image=image, **fields)))

    def classify_batch(self, images: Sequence[bytes], **fields: Any) -> dict[str, Any]:
        return read_message(self._call("ClassifyBatch", vision_pb2.ClassifyBatchRequest(images=images, **fields)))

    def close(self) -> None:
        self.channel.close()

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            refuse(error)


class VisionStream(Vision):
    """`lectorium.v1.Vision/ClassifyStream`, a stream for each image."""

    def classify(self, image: bytes, **fields: Any) -> dict[str, Any]:
        request = vision_pb2.ClassifyRequest(image=image, **fields)
        try:
            (answer,) = self.stub.ClassifyStream(iter([request]), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            refuse(error)
        if answer.HasField("error"):
            raise Refused(answer.error.code, answer.error.message)
        found = read_message(answer.response)
        assert found.pop("id") == answer.id == "1"
        return found


class HttpBatch(Http):
    """`POST /v1/classify/batch`, a batch for each image."""

    def classify(self, image: bytes, **fields: object) -> dict[str, Any]:
        return the_only_one(self.classify_batch([image], **fields))


class VisionBatch(Vision):
    """`lectorium.v1.Vision/ClassifyBatch`, a batch for each image."""

    def classify(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return the_only_one(self.classify_batch([image], **fields))


def the_only_one(batch: dict[str, Any]) -> dict[str, Any]:
    """The answer for the one image of a batch, as if it had come alone."""
    (result,) = batch.pop("results")
    return {**batch, **result}


def read_message(message: Any) -> dict[str, Any]:
    """The message as HTTP gives it, bytes in base64."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return dict(without_unset(found))


def without_unset(found: Any) -> Any:
    """Without what is null over HTTP, and empty or not set over gRPC."""
    if isinstance(found, dict):
        return {key: without_unset(value) for key, value in found.items() if value not in (None, "")}
    return [without_unset(value) for value in found] if isinstance(found, list) else found
