"""Pictures of what a network looked at, as PNG files; drawn off the loop."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_SIDE = 224  # of a picture's longer side, so that one sees something of 28x28 pixels
_MOST_HEAT = 0.6  # of a picture's colour, where the map is largest
_GREY = 127.5
# From weak to strong: blue, cyan, green, yellow, red.
_COLOURS = ((0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
_PALETTE = [
    round(float(np.interp(level / 255, np.linspace(0, 1, len(_COLOURS)), channel)))
    for level in range(256)
    for channel in zip(*_COLOURS, strict=True)
]


def overlay(pixels: NDArray[np.uint8], activation: NDArray[np.float32]) -> bytes:
    """The image, (H, W) or (H, W, 3), under its class activation map, (h, w): the stronger, the redder.

    Only what speaks for the class is drawn, in parts of its largest value; where nothing does, the image is bare.
    """
    picture = _enlarged(pixels).convert("RGB")
    positive = np.nan_to_num(activation).clip(0)
    heat = Image.fromarray(positive / (positive.max() or 1)).resize(picture.size, Image.Resampling.BILINEAR)
    levels = Image.fromarray((np.asarray(heat) * 255).round().astype("u1"))
    colours = levels.copy()
    colours.putpalette(_PALETTE)
    strength = levels.point([round(level * _MOST_HEAT) for level in range(256)])
    return _png(Image.composite(colours.convert("RGB"), picture, strength))


def signed(values: NDArray[np.float32]) -> bytes:
    """Values, (H, W) or (H, W, 3), as grey where they are 0, brighter above, darker below."""
    values = np.nan_to_num(values)
    largest = np.abs(values).max() or 1
    return _png(_enlarged((_GREY + values / largest * _GREY).round().astype("u1")))


def picture_size(height: int, width: int) -> tuple[int, int]:
    """The height and width at which such an image is drawn: a whole number of times its own."""
    times = max(1, -(-LEAST_SIDE // max(height, width)))
    return height * times, width * times


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    height, width = picture_size(*pixels.shape[:2])
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # in a tenth of the time as long a file, for pictures like these
    return buffer.getvalue()
