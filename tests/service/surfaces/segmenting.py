"""Ways to have an image segmented by `colours`, and images whose masks are known."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.segment_packages import HEIGHT, WIDTH, segmented
from tests.service.surfaces.image_tasks import Rpc, ways

ONE, SEVERAL = "/v1/segment", "/v1/segment/batch"


@dataclass
class VisionSegment(Rpc):
    """`lectorium.v1.Vision/Segment[Batch]`, with the corners of polygons as GeoJSON nests them."""

    task: str = "segment"

    def ask(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return _nested(super().ask(image, **fields))

    def ask_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        found = super().ask_batch(images, **fields)
        return {**found, "results": [_nested(result) for result in found["results"]]}


def _nested(found: dict[str, Any]) -> dict[str, Any]:
    for outline in found["polygons"]:
        rings = [[ring["points"] for ring in polygon["rings"]] for polygon in outline["coordinates"]]
        outline["coordinates"] = [
            [[[x, y] for x, y in zip(r[::2], r[1::2], strict=True)] for r in polygon] for polygon in rings
        ]
    return found


WAYS = ways("segment", VisionSegment)


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
