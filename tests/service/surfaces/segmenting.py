"""Ways to have an image segmented by `colours`, and images whose masks are known."""

import io
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from protos.lectorium.v1 import vision_pb2 as pb
from tests.segment_packages import HEIGHT, WIDTH, segmented
from tests.service.surfaces.image_transports import Http, Vision, read_message, the_only_one, without_unset
from tests.service.surfaces.transports import Refused, refuse_unless_ok
from tests.serving import Server

ONE, SEVERAL = "/v1/segment", "/v1/segment/batch"


class HttpSegment(Http):
    """`POST /v1/segment`, in a form."""

    def segment(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._post(ONE, [("image", image)], fields)

    def segment_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return self._post(SEVERAL, [("images", image) for image in images], fields)


class JsonSegment(Http):
    """The same in JSON."""

    def segment(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._ask(ONE, {"image": b64encode(image).decode(), **fields})

    def segment_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return self._ask(SEVERAL, {"images": [b64encode(image).decode() for image in images], **fields})

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(without_unset(refuse_unless_ok(self.client.post(path, json=body)).json()))


class BareSegment(JsonSegment):
    """The image as the body itself; several have no such way."""

    def segment(self, image: bytes, **fields: Any) -> dict[str, Any]:
        answer = self.client.post(ONE, params=fields, content=image, headers={"content-type": "image/png"})
        return dict(without_unset(refuse_unless_ok(answer).json()))


class VisionSegment(Vision):
    """`lectorium.v1.Vision/Segment`."""

    def segment(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return _nested(read_message(self._call("Segment", pb.SegmentRequest(image=image, **fields))))

    def segment_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        found = read_message(self._call("SegmentBatch", pb.SegmentBatchRequest(images=images, **fields)))
        return {**found, "results": [_nested(result) for result in found["results"]]}


def _nested(found: dict[str, Any]) -> dict[str, Any]:
    """With the corners of polygons as GeoJSON nests them."""
    for outline in found["polygons"]:
        rings = [[ring["points"] for ring in polygon["rings"]] for polygon in outline["coordinates"]]
        outline["coordinates"] = [
            [[[x, y] for x, y in zip(r[::2], r[1::2], strict=True)] for r in polygon] for polygon in rings
        ]
    return found


Transport = HttpSegment | JsonSegment | BareSegment | VisionSegment
TRANSPORTS: dict[str, Callable[[Server], Transport]] = {
    "form": HttpSegment,
    "json": JsonSegment,
    "bare": BareSegment,
    "vision_grpc": VisionSegment,
}


class Segments:
    """One way to have images segmented by `colours`: one image, or a batch for each."""

    def __init__(self, transport: Transport, *, batch: bool) -> None:
        self.transport, self.batch = transport, batch

    def __call__(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return (
            the_only_one(self.transport.segment_batch([image], **fields))
            if self.batch
            else self.transport.segment(image, **fields)
        )

    def refusal(self, image: bytes, code: str = "INVALID_ARGUMENT", **fields: Any) -> str:
        """The message with which the image is refused."""
        with pytest.raises(Refused) as caught:
            self(image, **fields)
        assert caught.value.code == code
        return caught.value.message


def blocks(seed: int = 0, times: int = 3) -> NDArray[np.uint8]:
    """An image whose pixels are ``times`` as large as the model's, (HEIGHT * times, WIDTH * times, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype="u1")
    return np.kron(small, np.ones((times, times, 1), "u1"))


def mask_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = segmented(pixels[None]).mask[0]
    return mask


def read(picture: bytes) -> tuple[str, NDArray[np.uint8]]:
    """The mode and the pixels of a PNG."""
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return image.mode, np.asarray(image)
