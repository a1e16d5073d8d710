"""Bounds the cost of decoding an image file from its structure alone, before it is decoded; one module per format."""

from service.errors import InvalidImage, TooLarge
from service.image_bounds import bmp, gif, jpeg, png, ppm, tiff, webp
from service.image_bounds.bounds import Bounds, Damaged

__all__ = ["FORMATS", "MOST_SECONDS", "MOST_SIDE", "Bounds", "check_mode", "most_seconds", "no_image", "read_bounds"]

# Seconds of one core for decoding a file and making a graph's input of it.
MOST_SECONDS = 2.0
# Scaling needs a table as long as each side.
MOST_SIDE = 65_535

_READERS = {
    "PNG": png.bounds,
    "JPEG": jpeg.bounds,
    "WEBP": webp.bounds,
    "GIF": gif.bounds,
    "BMP": bmp.bounds,
    "TIFF": tiff.bounds,
    "PPM": ppm.bounds,
}
# Formats whose decoders are in every Pillow; its other plugins never get a caller's bytes.
FORMATS = tuple(_READERS)

# The most that rotating, converting and scaling one pixel can cost, in nanoseconds.
_NS_PREPARE = {"LAB": 55.0, "CMYK": 22.0, "I": 42.0, "F": 42.0}
_NS_PREPARE_TRANSPARENT = 36.0
_NS_PREPARE_OTHER = 13.0


def read_bounds(data: bytes, max_pixels: int) -> tuple[str, Bounds]:
    """The format of the file, and its bounds.

    Raises:
        InvalidImage: it is in none of `FORMATS`, damaged, or uses a feature that is not supported.
        TooLarge: it has more than ``max_pixels`` pixels, or more of something else than is allowed.
    """
    format_ = _format(data)
    try:
        found = _READERS[format_](data)
    except Damaged as error:
        raise InvalidImage(f"{no_image(data)}: {error}") from error
    size = f"the image is {found.width}x{found.height} pixels"
    if found.width * found.height > max_pixels:
        raise TooLarge(f"{size}; at most {max_pixels} are allowed")
    if max(found.width, found.height) > MOST_SIDE:
        raise TooLarge(f"{size}; at most {MOST_SIDE} per side are allowed")
    _check_seconds(format_, found, _NS_PREPARE_OTHER)
    return format_, found


def check_mode(format_: str, found: Bounds, mode: str, *, transparent: bool) -> None:
    """Check that pixels of Pillow's ``mode`` can be prepared in the time that decoding leaves.

    Raises:
        TooLarge: it may take longer.
    """
    prepare = _NS_PREPARE_TRANSPARENT if transparent else _NS_PREPARE.get(mode, _NS_PREPARE_OTHER)
    _check_seconds(f"{format_} ({mode})", found, prepare)


def most_seconds(found: Bounds) -> float:
    """The most seconds of a core that decoding the file and preparing its pixels, of any mode, can take."""
    costliest = max(*_NS_PREPARE.values(), _NS_PREPARE_TRANSPARENT, _NS_PREPARE_OTHER)
    return (found.nanoseconds + found.width * found.height * costliest) / 1e9


def no_image(data: bytes) -> str:
    """The message for a file that cannot be read."""
    return f"the {len(data)} bytes are not an image in {', '.join(FORMATS)}, or are damaged"


def _check_seconds(what: str, found: Bounds, prepare_ns: float) -> None:
    seconds = (found.nanoseconds + found.width * found.height * prepare_ns) / 1e9
    if seconds > MOST_SECONDS:
        structure = f" {found.structure}" if found.structure else ""
        raise TooLarge(
            f"the image is {found.width}x{found.height} pixels of {what}{structure}: decoding it may take "
            f"{seconds:.1f} s of a core; at most {MOST_SECONDS:g} s are allowed"
        )


def _format(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"II", b"MM")):
        return "TIFF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"0123456fy":
        return "PPM"
    raise InvalidImage(no_image(data))
