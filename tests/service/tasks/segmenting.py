"""The segmentation task over small models, and images for it."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.config import Config
from service.engine import Engine
from service.fitting import placement
from service.imaging import prepare
from service.tasks.image_decoding import ImageDecoder
from service.tasks.segment import Segment
from tests.pictures import encoded
from tests.segment_packages import HEIGHT, WIDTH, segmented, write_segment_package

SIDE = 400  # of the larger model
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], "u1")


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Segment]:
    """The task, over `colours`, `stretched`, which does not pad, and `large`."""
    write_segment_package(folder)
    stretched = {"tensor": "image", "colour": "rgb", "height": HEIGHT, "width": WIDTH, "interpolation": "nearest"}
    write_segment_package(folder, "stretched", preprocessing=stretched)
    write_segment_package(folder, "large", preprocessing={**stretched, "height": SIDE, "width": SIDE})
    config = Config.model_validate({"repository": folder, "default_models": "segment=colours", **settings})
    async with Engine(config) as engine:
        yield Segment(engine, config, ImageDecoder(config))


def random_image(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) that are not pure, so that confidence differs from pixel to pixel."""
    random = np.random.default_rng(seed)
    pixels = COLOURS[random.integers(0, len(COLOURS), (height, width))]
    return np.clip(pixels.astype("i2") + random.integers(-60, 61, pixels.shape), 0, 255).astype("u1")


def file(pixels: NDArray[np.uint8]) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def wanted(task: Segment, model: str, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The mask and its probabilities at the image's size, by numpy."""
    said = task.select(model, "").package.segmenter.preprocessing
    image = Image.fromarray(pixels)
    found = segmented(prepare(image, said)[None])
    place = placement(*image.size, said)
    rows, columns = place.rows(image.height), place.columns(image.width)
    return found.mask[0][rows][:, columns], found.probability[0][rows][:, columns]


def read(png: bytes, mode: str) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", mode)
    return np.asarray(image)
