"""BMP: raw rows cost little; run-length encoded rows are decoded by Pillow in Python."""

import struct

from service.image_bounds.bounds import Bounds, damaged

_HEADERS = (40, 52, 56, 64, 108, 124)
_OLD_HEADER = 12
_RLE = (1, 2)

_NS_BYTE = 2
_NS_RLE_PIXEL = 250
_NS_RLE_BYTE = 350
# A palette of 65,536 colours, which Pillow reads one by one.
_NS_PALETTE = 40_000_000


def bounds(data: bytes) -> Bounds:
    """The bounds of a BMP file.

    Raises:
        Damaged: its structure is damaged.
    """
    size = int.from_bytes(data[14:18], "little")
    if len(data) < (26 if size == _OLD_HEADER else 34):
        raise damaged("BMP", "it is truncated")
    if size == _OLD_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif size in _HEADERS:
        width, height, _, bits, compression = struct.unpack_from("<IIHHI", data, 18)
        height = 2**32 - height if data[25] == 0xFF else height  # top to bottom
    else:
        raise damaged("BMP", f"its header has {size} bytes")
    pixels = width * height
    if compression in _RLE:
        nanoseconds = pixels * _NS_RLE_PIXEL + len(data) * _NS_RLE_BYTE
        return Bounds(width, height, nanoseconds + _NS_PALETTE, "in run lengths")
    return Bounds(width, height, pixels * max(8, bits) / 8 * _NS_BYTE + _NS_PALETTE)
