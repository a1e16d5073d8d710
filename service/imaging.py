"""The one way from image bytes to a graph's input; training measures through it too, so they can't drift."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.errors import InvalidImage, TooLarge
from service.package import Preprocessing

# Formats whose decoders are in every Pillow; the rest of its plugins never see a stranger's bytes.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_MODES = {"grey": "L", "rgb": "RGB"}
_INTERPOLATION = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Plugins load at the first image; better here than in the first caller's time.
Image.init()

# The size is checked before a pixel is decoded, against the configured limit instead of Pillow's own.
Image.MAX_IMAGE_PIXELS = None


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """The first frame of the image in ``data``, upright.

    Raises:
        InvalidImage: ``data`` is empty, truncated or in none of `FORMATS`.
        TooLarge: the image has more than ``max_pixels`` pixels.
    """
    if not data:
        raise InvalidImage("the image has 0 bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise TooLarge(f"the image is {image.width}x{image.height} pixels; at most {max_pixels} are taken")
        image.load()
        return ImageOps.exif_transpose(image)
    # What Pillow's decoders raise on bytes they can't make sense of.
    except (
        OSError,
        SyntaxError,
        ValueError,
        IndexError,
        KeyError,
        EOFError,
        struct.error,
        zlib.error,
    ) as error:
        raise InvalidImage(f"the {len(data)} bytes are no image of {', '.join(FORMATS)}, or a damaged one") from error


def prepare(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The image as the graph wants it: uint8, (H, W) for grey and (H, W, 3) for rgb."""
    image = _convert(image, _MODES[preprocessing.colour], preprocessing.background)
    size = (preprocessing.width, preprocessing.height)
    if image.size != size:
        image = _fit(image, size, preprocessing)
    return np.asarray(image)


def _convert(image: Image.Image, mode: str, background: int) -> Image.Image:
    """Any of Pillow's modes to ``mode``: 16-bit scaled to 8, alpha laid over the background."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (background,) * 3 + (255,)), image)
    try:
        return image.convert(mode)
    except ValueError as error:
        raise InvalidImage(f"the image's colours are {image.mode}, which do not convert to {mode}") from error


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by its high byte; 32-bit and float grey as 0..255, clipped."""
    pixels = np.asarray(image)
    if pixels.dtype.itemsize == 2:
        return Image.fromarray((pixels >> 8).astype("u1"))
    return Image.fromarray(np.nan_to_num(pixels).clip(0, 255).astype("u1"))


def _fit(image: Image.Image, size: tuple[int, int], preprocessing: Preprocessing) -> Image.Image:
    method = _INTERPOLATION[preprocessing.interpolation]
    if preprocessing.fit == "crop":
        return ImageOps.fit(image, size, method)
    if preprocessing.fit == "pad":
        colour = preprocessing.background if image.mode == "L" else (preprocessing.background,) * 3
        return ImageOps.pad(image, size, method, colour)
    return image.resize(size, method)
