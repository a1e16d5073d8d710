"""GIF: the first frame, and the blocks before it. GIF89a specification."""

import struct

from service.image_bounds.bounds import Bounds, damaged, more_than

# The most blocks before the first frame, including stray bytes: Pillow reads them one by one.
MOST_BLOCKS = 65_536

_NS_BLOCK = 2_000
_NS_PIXEL = 8
_NS_BYTE = 8


def bounds(data: bytes) -> Bounds:
    """The bounds of a GIF file; nothing after its first frame is read.

    Raises:
        Damaged: its structure is damaged.
        TooLarge: there are too many blocks before its first frame.
    """
    if len(data) < 13:
        raise damaged("GIF", "it is truncated")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, blocks = 13 + _palette_bytes(flags), 0
    while at < len(data) and data[at] not in b",;":
        blocks, at = blocks + 1, at + 1
        if (
            data[at - 1] == 0x21
        ):  # an extension: its label, then blocks that begin with their length, until an empty one
            at += 1
            while at < len(data) and data[at] and blocks <= MOST_BLOCKS:
                blocks, at = blocks + 1, at + 1 + data[at]
            at += 1
        if blocks > MOST_BLOCKS:
            raise more_than("GIF", "blocks before its first frame", MOST_BLOCKS)
    if at + 10 > len(data) or data[at] != 0x2C:
        raise damaged("GIF", "it has no frame")
    left, top, across, down, flags = struct.unpack_from("<HHHHB", data, at + 1)
    width, height = max(width, left + across), max(height, top + down)
    return Bounds(width, height, width * height * _NS_PIXEL + len(data) * _NS_BYTE + blocks * _NS_BLOCK)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
