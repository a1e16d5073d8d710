"""PNG: the inflated rows and the number of chunks determine the cost. PNG specification, third edition, 5."""

import struct

from service.image_bounds.bounds import Bounds, damaged, more_than

# The most chunks of any kind; libpng writes 8 KiB of pixels in each.
MOST_CHUNKS = 65_536

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_COMPRESSED_TEXT = (b"zTXt", b"iTXt", b"iCCP")

_NS_CHUNK = 6_000
# Each may inflate to Pillow's limit of 1 MiB.
_NS_TEXT = 6_000_000
_NS_FILE_BYTE = 3
_NS_CODED_BYTE = 22
_NS_ROW_BYTE = 5
_NS_PIXEL, _NS_PIXEL_INTERLACED = 2, 6


def bounds(data: bytes) -> Bounds:
    """The bounds of a PNG file.

    Raises:
        Damaged: its structure is damaged.
        TooLarge: it has too many chunks.
    """
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise damaged("PNG", "its first chunk is not a header")
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if colour not in _CHANNELS:
        raise damaged("PNG", f"there is no colour type {colour}")
    chunks = texts = coded = 0
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"IEND":
            break
        if kind == b"IHDR" and chunks:
            raise damaged("PNG", "it has two headers")
        coded += length if kind in (b"IDAT", b"fdAT", b"DDAT") else 0
        texts += kind in _COMPRESSED_TEXT
        chunks += 1
        if chunks > MOST_CHUNKS:
            raise more_than("PNG", "chunks", MOST_CHUNKS)
        at += 12 + length
    rows = height * (1 + -(-width * _CHANNELS[colour] * depth // 8))
    nanoseconds = (
        rows * _NS_ROW_BYTE
        + width * height * (_NS_PIXEL_INTERLACED if interlaced else _NS_PIXEL)
        + min(coded, len(data)) * _NS_CODED_BYTE
        + len(data) * _NS_FILE_BYTE
        + chunks * _NS_CHUNK
        + texts * _NS_TEXT
    )
    structure = f"with {depth} bits per channel"
    return Bounds(width, height, nanoseconds, structure + (f" and {texts} texts" if texts > 1 else ""))
