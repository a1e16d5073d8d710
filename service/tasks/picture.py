"""Draws what a network looked at, as PNG files. Call it on decoder threads, not on the event loop."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.tasks.png import png

LEAST_SIDE = 224  # pixels of the longer side, so that an image of 28x28 pixels is large enough to see
_MOST_HEAT = 0.6  # the opacity of the colours where the map is largest
_GREY = 127.5
# From weak to strong: blue, cyan, green, yellow, red.
_COLOURS = ((0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
_PALETTE = [
    round(float(np.interp(level / 255, np.linspace(0, 1, len(_COLOURS)), channel)))
    for level in range(256)
    for channel in zip(*_COLOURS, strict=True)
]


def overlay(pixels: NDArray[np.uint8], activation: NDArray[np.float32]) -> bytes:
    """The image, (H, W) or (H, W, 3), with its class activation map, (h, w), drawn over it: the stronger, the redder.

    Only positive values are drawn, relative to the largest; if there is none, the image is as it was.
    """
    picture = _enlarged(pixels).convert("RGB")
    positive = np.nan_to_num(activation).clip(0)
    heat = Image.fromarray(positive / (positive.max() or 1)).resize(picture.size, Image.Resampling.BILINEAR)
    levels = Image.fromarray((np.asarray(heat) * 255).round().astype("u1"))
    colours = levels.copy()
    colours.putpalette(_PALETTE)
    strength = levels.point([round(level * _MOST_HEAT) for level in range(256)])
    return png(Image.composite(colours.convert("RGB"), picture, strength))


def signed(values: NDArray[np.float32]) -> bytes:
    """Values, (H, W) or (H, W, 3), as a picture: grey for 0, brighter for positive, darker for negative values."""
    values = np.nan_to_num(values)
    largest = np.abs(values).max() or 1
    return png(_enlarged((_GREY + values / largest * _GREY).round().astype("u1")))


def picture_size(height: int, width: int) -> tuple[int, int]:
    """The height and width of the picture of an image: its own size, or a multiple if it is small."""
    times = max(1, -(-LEAST_SIDE // max(height, width)))
    return height * times, width * times


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    height, width = picture_size(*pixels.shape[:2])
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
