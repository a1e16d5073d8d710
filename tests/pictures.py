"""Image files for tests."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.packages import example


def png(pixels: NDArray[np.uint8] | None = None) -> bytes:
    """A PNG of the pixels, (H, W); of the tiny model's example where none are given."""
    file = io.BytesIO()
    Image.fromarray(example(1)[0] if pixels is None else pixels).save(file, "PNG")
    return file.getvalue()


def png_bomb(side: int) -> bytes:
    """A small PNG that says it has ``side`` x ``side`` pixels."""
    size = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
