"""WEBP: its pixels and bytes determine the cost; only the first frame is decoded. RFC 9649."""

from service.image_bounds.bounds import Bounds, damaged

_NS_PIXEL = 11
_NS_BYTE = 60
# Lossless pixels are in blocks of at least 4x4, each of which may choose one of so many sets of Huffman codes.
_MOST_CODES = 65_536
_BYTES_A_CODE = 20
_NS_CODE = 9_000


def bounds(data: bytes) -> Bounds:
    """The bounds of a WEBP file.

    Raises:
        Damaged: its structure is damaged.
    """
    kind = data[12:16]
    if len(data) < (25 if kind == b"VP8L" else 30):
        raise damaged("WEBP", "it is truncated")
    if kind == b"VP8X":
        width, height = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    else:
        raise damaged("WEBP", f"its first chunk is {kind!r}")
    pixels = width * height
    lossless = b"VP8L" in data or b"ALPH" in data
    codes = min(_MOST_CODES, pixels // 16, len(data) // _BYTES_A_CODE) if lossless else 0
    return Bounds(width, height, pixels * _NS_PIXEL + len(data) * _NS_BYTE + codes * _NS_CODE)
