"""TIFF: a copy of the file is decoded, whose directory has only the tags needed for decoding. TIFF 6.0.

Everything else that a directory may have (metadata, further pages, nested directories, private tags) costs time and
makes libtiff write warnings, and no pixel depends on it.
"""

import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from service.image_bounds import jpeg
from service.image_bounds.bounds import Bounds, damaged, more_than, too_many, unread

MOST_STRIPS = 65_536
# Each of them is a JPEG file to examine.
MOST_JPEG_STRIPS = 4096
MOST_JPEG_TABLES = 64 << 10
# 16-bit palettes have three times 65,536 colours; Pillow reads those of 8 bits.
MOST_VALUES = 768

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _JPEG_TABLES = 322, 323, 324, 325, 347
_ARRAYS = (_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS)
# Also the order of bits, orientation, the fax options, predictor, palette, inks, extra samples, sample format, YCbCr.
_NUMBERS = {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS_PER_STRIP, _PLANAR, _TILE_WIDTH}
_NUMBERS |= {*_ARRAYS, _TILE_HEIGHT, 266, 274, 292, 293, 317, 320, 332, 338, 339, 530, 531}
_FRACTIONS = {529, 532}
_BYTES = {_JPEG_TABLES}

_FORMATS = {1: "B", 3: "H", 4: "I", 5: "II", 7: "B"}
_WANTED_TYPES = {**dict.fromkeys(_NUMBERS, (1, 3, 4)), **dict.fromkeys(_FRACTIONS, (5,)), _JPEG_TABLES: (1, 7)}

_RAW, _JPEG, _YCBCR = 1, 7, 6
# Nanoseconds for each byte of pixels, and for each coded byte.
_CODECS = {
    2: (8, 80),  # CCITT, for bilevel images
    3: (8, 80),
    4: (8, 80),
    5: (4, 4),  # LZW
    8: (5, 25),  # deflate
    32946: (5, 25),
    32773: (2, 3),  # PackBits
    34925: (45, 30),  # LZMA
    50000: (5, 15),  # Zstandard
}
_NS_PIXEL = 3
_NS_PIXEL_YCBCR = 20
_NS_RAW_BYTE = 2
_NS_RAW_STRIP = 16_000
_NS_STRIP = 3_000


class _Entry(NamedTuple):
    raw: bytes  # the twelve bytes in the directory
    values: tuple[int, ...]


class _Layout(NamedTuple):
    """The positions of the pixels: in strips or tiles (pieces) of ``width`` x ``height``."""

    width: int
    height: int
    pieces: int
    offsets: Sequence[int]
    coded: Sequence[int]


def bounds(data: bytes) -> Bounds:
    """The bounds of a TIFF file's first page.

    Raises:
        Damaged: its structure is damaged.
        InvalidImage: it uses a feature that is not supported.
        TooLarge: it has too many strips or tiles, or too many values of a tag.
    """
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8 or struct.unpack_from(order + "H", data, 2) != (42,):
        raise unread("TIFF", "a header other than classic TIFF's")
    entries = _read_directory(data, order)
    number = _Numbers(entries)
    width, height = number(_WIDTH, 0), number(_HEIGHT, 0)
    if not (width and height):
        raise damaged("TIFF", "its directory has no size")
    layout = _layout(number, entries, width, height)
    nanoseconds = _decoding_ns(data, number, entries, layout) + width * height * _NS_PIXEL
    # The directory is put at the end, word-aligned, so that nothing before it moves.
    padding = bytes(len(data) % 2)
    directory = b"".join(entries[tag].raw for tag in sorted(entries))
    start = struct.pack(order + "I", len(data) + len(padding))
    file = data[:4] + start + data[8:] + padding + struct.pack(order + "H", len(entries)) + directory + bytes(4)
    return Bounds(width, height, nanoseconds, f"in {layout.pieces} strips or tiles", file)


class _Numbers:
    """The first number of a tag, or a default if the tag is missing."""

    def __init__(self, entries: Mapping[int, _Entry]) -> None:
        self._entries = entries

    def __call__(self, tag: int, missing: int) -> int:
        return self._entries[tag].values[0] if tag in self._entries else missing


def _read_directory(data: bytes, order: str) -> dict[int, _Entry]:
    (at,) = struct.unpack_from(order + "I", data, 4)
    if at + 2 > len(data):
        raise damaged("TIFF", "its directory is outside the file")
    (count,) = struct.unpack_from(order + "H", data, at)
    directory = data[at + 2 : at + 2 + 12 * count]
    entries: dict[int, _Entry] = {}
    for i in range(0, len(directory) - 11, 12):
        raw = directory[i : i + 12]
        (tag,) = struct.unpack_from(order + "H", raw)
        if tag in _WANTED_TYPES and tag not in entries:
            entries[tag] = _Entry(raw, _values(data, order, tag, raw))
    return entries


def _values(data: bytes, order: str, tag: int, raw: bytes) -> tuple[int, ...]:
    _, type_, count = struct.unpack_from(order + "HHI", raw)
    most = MOST_STRIPS if tag in _ARRAYS else MOST_JPEG_TABLES if tag == _JPEG_TABLES else MOST_VALUES
    if count > most:
        raise too_many("TIFF", f"values of tag {tag}", count, most)
    if type_ not in _WANTED_TYPES[tag] or not count:
        raise damaged("TIFF", f"tag {tag} has {count} values of type {type_}")
    layout = f"{order}{count * len(_FORMATS[type_])}{_FORMATS[type_][0]}"
    inline = struct.calcsize(layout) <= 4
    at = 8 if inline else struct.unpack_from(order + "I", raw, 8)[0]
    source = raw if inline else data
    if at + struct.calcsize(layout) > len(source):
        raise damaged("TIFF", f"the values of tag {tag} are outside the file")
    return struct.unpack_from(layout, source, at)


def _layout(number: _Numbers, entries: Mapping[int, _Entry], width: int, height: int) -> _Layout:
    planes = number(_SAMPLES, 1) if number(_PLANAR, 1) == 2 else 1
    tiled = _STRIP_OFFSETS not in entries
    offsets, coded = (_TILE_OFFSETS, _TILE_COUNTS) if tiled else (_STRIP_OFFSETS, _STRIP_COUNTS)
    if offsets not in entries:
        raise damaged("TIFF", "it does not say where its pixels are")
    across = number(_TILE_WIDTH, 0) if tiled else width
    down = number(_TILE_HEIGHT, 0) if tiled else min(height, number(_ROWS_PER_STRIP, height))
    if not (across and down):
        raise damaged("TIFF", "its strips or tiles have no size")
    count = -(-width // across) * -(-height // down) * planes
    if count > MOST_STRIPS:
        raise too_many("TIFF", "strips or tiles", count, MOST_STRIPS)
    lengths = entries[coded].values if coded in entries else ()
    return _Layout(across, down, count, entries[offsets].values, lengths)


def _decoding_ns(data: bytes, number: _Numbers, entries: Mapping[int, _Entry], layout: _Layout) -> float:
    compression, planar = number(_COMPRESSION, _RAW), number(_PLANAR, 1) == 2
    bits = max(entries[_BITS].values) if _BITS in entries else 1
    row = -(-layout.width * bits * (1 if planar else number(_SAMPLES, 1)) // 8)
    size = row * layout.height
    if compression == _RAW:
        _check_apart(layout.offsets, size)
        return max(layout.pieces, len(layout.offsets)) * _NS_RAW_STRIP + layout.pieces * size * _NS_RAW_BYTE
    if len(layout.coded) < layout.pieces or len(layout.offsets) < layout.pieces:
        raise damaged("TIFF", f"it has {layout.pieces} strips or tiles and positions for {len(layout.offsets)} of them")
    if compression == _JPEG:
        return _jpegs_ns(data, layout)
    if compression not in _CODECS:
        raise unread("TIFF", f"compression {compression}")
    per_byte, per_coded = _CODECS[compression]
    ycbcr = _NS_PIXEL_YCBCR * layout.width * layout.height if number(_PHOTOMETRIC, 0) == _YCBCR else 0
    coded = max(sum(layout.coded), len(data))  # strips may share coded bytes
    return layout.pieces * (_NS_STRIP + size * per_byte + ycbcr) + coded * per_coded


def _check_apart(offsets: Sequence[int], size: int) -> None:
    """Refuse overlapping raw strips: Pillow reads up to the next one's start, and short pieces would take for ever."""
    ordered = sorted(offsets)
    for at, following in pairwise(ordered):
        if following - at < size // 2:  # YCbCr may have half the samples
            raise damaged("TIFF", "its strips or tiles overlap")


def _jpegs_ns(data: bytes, layout: _Layout) -> float:
    if layout.pieces > MOST_JPEG_STRIPS:
        raise more_than("TIFF", "strips or tiles of JPEG", MOST_JPEG_STRIPS)
    total = 0.0
    for at, length in zip(layout.offsets[: layout.pieces], layout.coded, strict=False):
        found = jpeg.bounds(data[at : at + length], "TIFF")
        if found.width > layout.width + 64 or found.height > layout.height + 64:
            raise damaged("TIFF", "a strip or tile of JPEG is larger than it should be")
        total += _NS_STRIP + found.nanoseconds
    return total
