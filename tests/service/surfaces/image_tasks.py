"""Ways to ask a task about an image: in a form, in JSON, as the bare body and over gRPC; alone, or in a batch."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from tests.pictures import claiming, png
from tests.service.surfaces.image_transports import Http, Vision, read_message, the_only_one, without_unset
from tests.service.surfaces.transports import Refused, refuse_unless_ok
from tests.serving import Server

# What is sent for an image, and what the refusal says.
NO_IMAGES: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "the image has 0 bytes"),
    "text": (b"hello", "the 5 bytes are not an image in PNG, JPEG"),
    "cut short": (png()[:-30], "damaged"),
    "noise": (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "damaged"),
    "bomb": (claiming(png(), 30_000, 30_000), "the image is 30000x30000 pixels; at most 50000000 are allowed"),
}


@dataclass
class Form(Http):
    """`POST /v1/<task>[/batch]`, in a form."""

    task: str = ""

    def ask(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._post(self.path, [("image", image)], fields)

    def ask_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return self._post(f"{self.path}/batch", [("images", image) for image in images], fields)

    @property
    def path(self) -> str:
        return f"/v1/{self.task}"


class Json(Form):
    """The same in JSON."""

    def ask(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._ask(self.path, {"image": b64encode(image).decode(), **fields})

    def ask_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return self._ask(f"{self.path}/batch", {"images": [b64encode(image).decode() for image in images], **fields})

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(without_unset(refuse_unless_ok(self.client.post(path, json=body)).json()))


class Bare(Json):
    """The image as the body itself; several have no such way."""

    def ask(self, image: bytes, **fields: Any) -> dict[str, Any]:
        answer = self.client.post(self.path, params=fields, content=image, headers={"content-type": "image/png"})
        return dict(without_unset(refuse_unless_ok(answer).json()))


@dataclass
class Rpc(Vision):
    """`lectorium.v1.Vision/<Task>[Batch]`."""

    task: str = ""

    def ask(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return read_message(self.call(image=image, **fields))

    def ask_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return read_message(self.call("Batch", images=images, **fields))

    def call(self, kind: str = "", **fields: Any) -> Any:
        """The answer's message."""
        method = f"{self.task.title()}{kind}"
        return self._call(method, getattr(pb, f"{method}Request")(**fields))


Way = Form | Rpc


def ways(task: str, rpc: type[Rpc] = Rpc) -> dict[str, Callable[[Server], Way]]:
    """All ways to ask ``task``, by name."""
    kinds: dict[str, Callable[..., Way]] = {"form": Form, "json": Json, "bare": Bare, "vision_grpc": rpc}
    return {name: partial(kind, task=task) for name, kind in kinds.items()}


class Asks:
    """Asks one ``way`` about an image, alone or as a batch of one; ``fields`` are those of every question."""

    def __init__(self, way: Way, *, batch: bool, **fields: Any) -> None:
        self.way, self.batch, self.fields = way, batch, fields

    def __call__(self, image: bytes, **fields: Any) -> dict[str, Any]:
        fields = {**self.fields, **fields}
        return the_only_one(self.way.ask_batch([image], **fields)) if self.batch else self.way.ask(image, **fields)

    def refusal(self, image: bytes, code: str = "INVALID_ARGUMENT", **fields: Any) -> str:
        """The message with which the image is refused."""
        with pytest.raises(Refused) as caught:
            self(image, **fields)
        assert caught.value.code == code
        return caught.value.message
