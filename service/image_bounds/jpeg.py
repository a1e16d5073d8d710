"""JPEG: its scans determine the cost. ITU-T T.81, annex B."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from service.image_bounds.bounds import Bounds, damaged, more_than, unread

MOST_SEGMENTS = 4096
# The most bytes before the first scan that belong to no segment: Pillow reads them one by one.
MOST_STRAY_BYTES = 64 << 10

# A marker that is not stuffing, fill or a restart inside a scan; one that is not stuffing or fill between segments.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_EOI, _SOS, _APP1, _APP13 = 0xD9, 0xDA, 0xE1, 0xED
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
# Arithmetic coding, lossless, hierarchical: rarely used.
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}

_NS_SCAN = 50_000
# For each block of 8x8 coefficients, and for each coded byte. A scan that refines AC coefficients visits all of them
# again, for almost no data.
_SEQUENTIAL, _BEGINS, _REFINES = (40, 12), (25, 28), (65, 55)
# A progressive image without all AC coefficients is smoothed.
_NS_BLOCK_OUT, _NS_BLOCK_OUT_PROGRESSIVE = 40, 90
_NS_PIXEL_OUT = 5
# Pillow reads the entries of these segments one by one.
_NS_EXIF_BYTE, _NS_PHOTOSHOP_BYTE = 1000, 45


class _Frame(NamedTuple):
    progressive: bool
    width: int
    height: int
    blocks: dict[int, int]  # of each component, by its id

    def scan_ns(self, header: bytes, coded: int) -> float:
        """The cost of a scan with ``coded`` bytes of data; its header names its components and their coefficients."""
        components = header[1 : 1 + 2 * header[0] : 2] if header else b""
        blocks = sum(self.blocks.get(component, 0) for component in components)
        per_block, per_byte = _SEQUENTIAL
        if self.progressive:
            first, refined = (header[-3], header[-1] >> 4) if len(header) >= 4 else (1, 1)
            per_block, per_byte = _REFINES if first and refined else _BEGINS
        return _NS_SCAN + blocks * per_block + coded * per_byte


def bounds(data: bytes, format_: str = "JPEG") -> Bounds:
    """The bounds of the JPEG stream that ``data`` begins with; ``format_`` names the file around it.

    Raises:
        Damaged: its structure is damaged.
        InvalidImage: its coding is not supported.
        TooLarge: it has too many segments.
    """
    frame: _Frame | None = None
    scans, nanoseconds = 0, 0.0
    for marker, segment, coded in _segments(data, format_):
        if marker in _OTHER_FRAMES:
            raise unread(format_, "arithmetic, lossless or hierarchical coding")
        if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            if frame is not None:
                raise damaged(format_, "it has two frame headers")
            frame = _read_frame(segment, marker == _PROGRESSIVE, format_)
        elif marker == _SOS:
            if frame is None:
                raise damaged(format_, "its first scan comes before its frame header")
            nanoseconds += frame.scan_ns(segment, coded)
            scans += 1
        else:
            nanoseconds += _metadata_ns(marker, segment)
    if frame is None or not scans:
        raise damaged(format_, "it has no scan")
    per_block = _NS_BLOCK_OUT_PROGRESSIVE if frame.progressive else _NS_BLOCK_OUT
    nanoseconds += sum(frame.blocks.values()) * per_block + frame.width * frame.height * _NS_PIXEL_OUT
    return Bounds(frame.width, frame.height, nanoseconds, f"in {scans} scans" if scans > 1 else "")


def _segments(data: bytes, format_: str) -> Iterator[tuple[int, bytes, int]]:
    """The marker and content of each segment until the image's end; for a scan, also the number of bytes of data."""
    at, stray, in_header = 2, 0, True
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] == _EOI:
            return
        stray += found.start() - at if in_header else 0
        if stray > MOST_STRAY_BYTES:
            raise more_than(format_, "bytes between its segments", MOST_STRAY_BYTES)
        marker, at = data[found.end() - 1], found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        end = at + max(2, int.from_bytes(data[at : at + 2]))
        segment, at = data[at + 2 : end], end
        if marker == _SOS:
            in_header = False
            ends = _AFTER_SCAN.search(data, at)
            at = ends.start() if ends else len(data)
        yield marker, segment, max(0, at - end)
    raise more_than(format_, "segments", MOST_SEGMENTS)


def _metadata_ns(marker: int, segment: bytes) -> float:
    if marker == _APP1 and segment.startswith(b"Exif"):
        return len(segment) * _NS_EXIF_BYTE
    return len(segment) * _NS_PHOTOSHOP_BYTE if marker == _APP13 else 0


def _read_frame(segment: bytes, progressive: bool, format_: str) -> _Frame:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise damaged(format_, "its frame header is truncated")
    height, width, count = struct.unpack_from(">HHB", segment, 1)
    factors = {segment[i]: divmod(segment[i + 1], 16) for i in range(6, 6 + 3 * count, 3)}
    if not (width and height and factors) or any(not (1 <= h <= 4 and 1 <= v <= 4) for h, v in factors.values()):
        raise damaged(format_, "its frame header has no size, no component or a wrong sampling factor")
    across = -(-width // (8 * max(h for h, _ in factors.values())))
    down = -(-height // (8 * max(v for _, v in factors.values())))
    return _Frame(progressive, width, height, {id: across * h * down * v for id, (h, v) in factors.items()})
