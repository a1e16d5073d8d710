"""The one way from image bytes to a graph's input; training measures through it too, so they can't drift."""

import ctypes
import io
import logging
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, _imaging, features
from PIL.JpegImagePlugin import JpegImageFile

from service.errors import InvalidImage, LectoriumError
from service.fitting import fitted
from service.image_bounds import Bounds, check_mode, most_seconds, no_image, read_bounds
from service.package import Preprocessing, Views

_MODES = {"grey": "L", "rgb": "RGB"}
VIEW_COUNTS: dict[Views, int] = {"single": 1, "flip": 2, "ten_crop": 10}

# Plugins would otherwise load during the first request.
Image.init()

# The size is checked before a pixel is decoded, against the configured limit instead of Pillow's own.
Image.MAX_IMAGE_PIXELS = None

# Warnings of Pillow and libtiff quote a caller's bytes, which could then write to our log.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
if features.check("libtiff"):
    _tiff = ctypes.CDLL(_imaging.__file__)  # the libtiff that Pillow is linked with
    _tiff.TIFFSetErrorHandler(None)
    _tiff.TIFFSetWarningHandler(None)

# Less than to hand an image to a thread, and to be handed its pixels.
QUICK_S = 0.0002
_QUICK_BYTES = 16 << 10
# Of a pixel of the graph's input, by the costliest interpolation.
_SCALE_S = 30e-9
# The least a JPEG is decoded at, in sizes it is prepared at. `cifar10-resnet20` on the 10,000 test images enlarged to
# JPEGs of 256x256: 83.54 % decoded whole, 83.37 % at 4 times the input's size, 82.24 % at 2; of 192x192, 83.47 % whole
# and 83.91 % at 3.
_REDUCED = 3
_MOST_EXIF_BYTES = 128 << 10
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = tuple(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))


class ImageFile(NamedTuple):
    """An image file with its format and bounds; see `examine`."""

    data: bytes
    format: str
    bounds: Bounds


class Decoded(NamedTuple):
    """An image, upright. Its file has ``width`` x ``height`` pixels; it may have been decoded with fewer."""

    image: Image.Image
    width: int
    height: int


def examine(data: bytes, max_pixels: int) -> ImageFile:
    """The file with its format and bounds, from its structure; no pixel is decoded.

    Raises:
        InvalidImage: ``data`` is empty, in none of `FORMATS`, damaged, or coded in a way that is not supported.
        TooLarge: the image has more than ``max_pixels`` pixels, or by its structure it may take longer than
            `service.image_bounds.MOST_SECONDS` to decode and prepare.
    """
    if not data:
        raise InvalidImage("the image has 0 bytes")
    return ImageFile(data, *read_bounds(data, max_pixels))


def decode(
    data: bytes, max_pixels: int, preprocessing: Preprocessing | None = None, views: Views = "single"
) -> Image.Image:
    """The first frame of the image in ``data``, upright; see `decode_file`.

    Raises:
        InvalidImage, TooLarge: as `examine` and `decode_file`.
    """
    return decode_file(examine(data, max_pixels), preprocessing, views).image


def decode_file(file: ImageFile, preprocessing: Preprocessing | None = None, views: Views = "single") -> Decoded:
    """The first frame of the image, upright.

    If it is decoded for a ``preprocessing``, a JPEG that is far larger than the graph's input is decoded at a half, a
    quarter or an eighth of its size, which libjpeg does in a fraction of the time; see `_reduce`.

    Raises:
        InvalidImage: the file is truncated, or damaged otherwise.
        TooLarge: its colours make it take longer than `service.image_bounds.MOST_SECONDS`.
    """
    data, format_, found = file
    try:
        image = Image.open(io.BytesIO(found.file or data), formats=(format_,))
        if sorted(image.size) != sorted((found.width, found.height)):
            raise InvalidImage(f"{no_image(data)}: as {format_}, it has two different sizes")
        check_mode(format_, found, image.mode, transparent=image.has_transparency_data)
        width, height = image.size
        if preprocessing is not None:
            _reduce(image, preprocessing, views)
        image.load()
        turn = _turn(image)
        upright = image if turn is None else image.transpose(turn)
        return Decoded(upright, height, width) if turn in _SIDEWAYS else Decoded(upright, width, height)
    except LectoriumError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on bytes they can't make sense of
        raise InvalidImage(no_image(data)) from error


def quick_file(data: bytes, max_pixels: int, preprocessing: Preprocessing, views: Views) -> ImageFile | None:
    """The examined file, if decoding it and preparing its ``views`` certainly takes less than `QUICK_S`; else None.

    Raises:
        InvalidImage, TooLarge: as `examine`, for a small file.
    """
    if len(data) > _QUICK_BYTES:  # examining a long file takes long itself
        return None
    file = examine(data, max_pixels)
    scaled = VIEW_COUNTS[views] * preprocessing.width * preprocessing.height * _SCALE_S
    return file if most_seconds(file.bounds) + scaled < QUICK_S else None


def flatten(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The image in the graph's colours, 8 bits each, without transparency; `prepare` is then cheaper."""
    return _convert(image, _MODES[preprocessing.colour], preprocessing.background)


def prepare(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The image as the graph wants it: uint8, (H, W) for grey and (H, W, 3) for rgb."""
    image = flatten(image, preprocessing)
    size = (preprocessing.width, preprocessing.height)
    if image.size != size:
        image = fitted(image, preprocessing)
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
    whole = prepare(image, _larger(preprocessing))
    down, right = whole.shape[0] - height, whole.shape[1] - width
    corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    return np.stack([whole[top : top + height, left : left + width] for top, left in corners])


def _with_mirrored(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([views, views[:, :, ::-1]])


def _reduce(image: Image.Image, preprocessing: Preprocessing, views: Views) -> None:
    """Have a JPEG decoded smaller, but on each side at least `_REDUCED` times as large as the image is prepared.

    So that resizing, which averages over what becomes one pixel, still has several pixels to average over. The nearest
    one is not averaged, and would be another pixel.
    """
    if isinstance(image, JpegImageFile) and preprocessing.interpolation != "nearest":
        size = _larger(preprocessing) if views == "ten_crop" else preprocessing
        least = _REDUCED * max(size.width, size.height)  # the EXIF may say that its sides are swapped
        image.draft(None, (least, least))


def _larger(preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing at the size that ten crops are taken from, 8/7 of the graph's, rounded up."""
    size = {"height": -(-preprocessing.height * 8 // 7), "width": -(-preprocessing.width * 8 // 7)}
    return preprocessing.model_copy(update=size)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the image upright, as its EXIF says; `ImageOps.exif_transpose` would rewrite all of the EXIF."""
    if "exif" in image.info:
        image.info["exif"] = image.info["exif"][:_MOST_EXIF_BYTES]
    return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))


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
    except Exception as error:  # as in `decode`: the palette may be missing, or the mode unknown
        raise InvalidImage(f"the image's colours are {image.mode}, which cannot be converted to {mode}") from error


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by its high byte; 32-bit and float grey as 0..255, clipped."""
    pixels = np.asarray(image)
    # Pillow spreads the grey levels of a PPM file with more than 8 bits over 16, and holds them in 32.
    if pixels.dtype.itemsize == 2 or (image.format == "PPM" and image.mode == "I"):
        return Image.fromarray((pixels >> 8).astype("u1"))
    return Image.fromarray(np.nan_to_num(pixels).clip(0, 255).astype("u1"))
