"""The one way from image bytes to a graph's input; training measures through it too, so they can't drift."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.errors import InvalidImage, TooLarge
from service.package import Preprocessing, Views

# Formats whose decoders are in every Pillow; the rest of its plugins never see a stranger's bytes.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_MODES = {"grey": "L", "rgb": "RGB"}
_INTERPOLATION = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
VIEW_COUNTS: dict[Views, int] = {"single": 1, "flip": 2, "ten_crop": 10}

# Plugins load at the first image; better here than in the first caller's time.
Image.init()

# The size is checked before a pixel is decoded, against the configured limit instead of Pillow's own.
Image.MAX_IMAGE_PIXELS = None

# Damaged metadata is worth a warning to Pillow; here it would let a stranger write our log.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


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
        ImageOps.exif_transpose(image, in_place=True)
    except TooLarge:
        raise
    except Exception as error:  # Pillow's decoders raise anything on bytes they can't make sense of
        raise InvalidImage(f"the {len(data)} bytes are no image of {', '.join(FORMATS)}, or a damaged one") from error
    return image


def prepare(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The image as the graph wants it: uint8, (H, W) for grey and (H, W, 3) for rgb."""
    image = _convert(image, _MODES[preprocessing.colour], preprocessing.background)
    size = (preprocessing.width, preprocessing.height)
    if image.size != size:
        image = _fit(image, size, preprocessing)
    return np.asarray(image)


def take_views(image: Image.Image, preprocessing: Preprocessing, views: Views) -> NDArray[np.uint8]:
    """The image as the graph wants it, ``VIEW_COUNTS[views]`` times: uint8, (views, H, W) or (views, H, W, 3).

    ``flip`` is the image and its mirror image; ``ten_crop`` the four corners and the centre of the image at 8/7 of
    the size, as 224 of 256, then their mirror images (Krizhevsky et al. 2012, ImageNet Classification, 4.1).
    """
    if views == "ten_crop":
        return _with_mirrored(_crops(image, preprocessing))
    plain = prepare(image, preprocessing)[None]
    return plain if views == "single" else _with_mirrored(plain)


def _crops(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The four corners and the centre, (5, H, W) or (5, H, W, 3)."""
    height, width = preprocessing.height, preprocessing.width
    larger = {"height": -(-height * 8 // 7), "width": -(-width * 8 // 7)}  # rounded up
    whole = prepare(image, preprocessing.model_copy(update=larger))
    down, right = whole.shape[0] - height, whole.shape[1] - width
    corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    return np.stack([whole[top : top + height, left : left + width] for top, left in corners])


def _with_mirrored(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([views, views[:, :, ::-1]])


def _convert(image: Image.Image, mode: str, background: int) -> Image.Image:
    """Any of Pillow's modes to ``mode``: 16-bit scaled to 8, alpha laid over the background."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image)
    try:
        if image.mode == "La":  # grey premultiplied with its alpha
            image = image.convert("LA")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (background,) * 3 + (255,)), image)
        return image.convert(mode)
    except Exception as error:  # as in `decode`: the palette may be missing, or the mode unheard of
        raise InvalidImage(f"the image's colours are {image.mode}, which do not convert to {mode}") from error


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by its high byte; 32-bit and float grey as 0..255, clipped."""
    pixels = np.asarray(image)
    # Pillow spreads the grey levels of a PPM file with more than 8 bits over 16, and holds them in 32.
    if pixels.dtype.itemsize == 2 or (image.format == "PPM" and image.mode == "I"):
        return Image.fromarray((pixels >> 8).astype("u1"))
    return Image.fromarray(np.nan_to_num(pixels).clip(0, 255).astype("u1"))


def _fit(image: Image.Image, size: tuple[int, int], preprocessing: Preprocessing) -> Image.Image:
    method = _INTERPOLATION[preprocessing.interpolation]
    if preprocessing.fit == "crop":
        return ImageOps.fit(image, size, method)
    if preprocessing.fit == "pad":
        return _pad(image, size, method, preprocessing.background)
    return image.resize(size, method)


def _pad(image: Image.Image, size: tuple[int, int], method: Image.Resampling, background: int) -> Image.Image:
    """The image as large as ``size`` holds it, centred; `ImageOps.pad` would lose one much longer than wide."""
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    padded = Image.new(image.mode, size, background if image.mode == "L" else (background,) * 3)
    padded.paste(image.resize(inner, method), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return padded
