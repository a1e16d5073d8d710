"""Image files made in a moment, each of another format and colour mode."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.packages import example

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    """The image as a file of that format."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def png(pixels: NDArray[np.uint8] | None = None) -> bytes:
    """A PNG of the pixels, (H, W); of the tiny model's example where none are given."""
    return encoded(Image.fromarray(example(1)[0] if pixels is None else pixels), "PNG")


def solid(mode: str, colour: Any, size: tuple[int, int] = (9, 7)) -> Image.Image:
    """An image of one colour."""
    return Image.new(mode, size, colour)


def noise(side: int = 48) -> Image.Image:
    """An image no encoder can shrink much, so that cutting its file loses pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype="u1"))


def deep_png(colour_type: int, pixel: tuple[int, ...], size: tuple[int, int] = (9, 7)) -> bytes:
    """A PNG file with 16 bits a channel, of one colour; Pillow reads those and writes grey ones only."""
    rows = (b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * size[0]) * size[1]
    header = struct.pack(">IIBBBBB", *size, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def claiming(file: bytes, width: int, height: int) -> bytes:
    """The file with another size in its header and the same few pixels: a decompression bomb's first bytes."""
    if file.startswith(b"\x89PNG"):
        header = struct.pack(">II", width, height) + file[24:29]
        return file[:8] + png_chunk(b"IHDR", header) + file[33:]
    if file.startswith(b"\xff\xd8"):
        at = file.index(b"\xff\xc0") + 5
        return file[:at] + struct.pack(">HH", height, width) + file[at + 4 :]
    if file.startswith(b"GIF"):
        return file[:6] + struct.pack("<HH", width, height) + file[10:]
    if file.startswith(b"BM"):
        return file[:18] + struct.pack("<ii", width, height) + file[26:]
    if file.startswith(b"P6"):
        return b"P6 %d %d 255\n" % (width, height) + file[-3:]
    if file.startswith(b"II*\0"):
        for tag, size in ((256, width), (257, height)):
            at = file.index(struct.pack("<HHI", tag, 4, 1)) + 8
            file = file[:at] + struct.pack("<I", size) + file[at + 4 :]
        return file
    raise ValueError(f"no header known that starts with {file[:4]!r}")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
