"""Short files that would keep a decoder busy for long, and those that come as near to it as is taken."""

import io
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from tests.pictures import claiming, encoded, png_chunk, solid


def jpeg_scans(
    size: tuple[int, int], repeated: int, mode: str = "L", scan: int = -1, claims: tuple[int, int] | None = None
) -> bytes:
    """A progressive JPEG of one colour, one of whose scans comes so many times more; its header may claim a size."""
    file = encoded(Image.new(mode, size), "JPEG", progressive=True)
    if claims is not None:
        at = file.index(b"\xff\xc2") + 5
        file = file[:at] + struct.pack(">HH", *reversed(claims)) + file[at + 4 :]
    starts = [i for i in range(len(file)) if file[i : i + 2] == b"\xff\xda"]
    scans = [file[start:end] for start, end in pairwise([*starts, len(file) - 2])]
    return file[:-2] + scans[scan] * repeated + b"\xff\xd9"


def jpeg_with(segments: bytes) -> bytes:
    """A small JPEG with these bytes after its start."""
    file = encoded(solid("L", 200), "JPEG")
    return file[:2] + segments + file[2:]


def png_file(size: tuple[int, int], depth: int, colour: int, *, interlaced: bool = False, before: bytes = b"") -> bytes:
    """A PNG whose rows are all filtered by the costliest filter, Paeth's; ``before`` are chunks before its pixels."""
    width, height = size
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    pixels = b"\x78\1"
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            pixels += _deflated(b"\4" + bytes(-(-columns * channels * depth // 8)), rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = png_chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    chunks = png_chunk(b"IHDR", header) + palette + before + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _deflated(row: bytes, rows: int) -> bytes:
    """So many rows, without beginning or end; some are compressed once and repeated, for the sake of time."""
    together = max(1, 1_000_000 // len(row))

    def piece(count: int) -> bytes:
        squeezed = zlib.compressobj(1, wbits=-15)
        return squeezed.compress(row * count) + squeezed.flush(zlib.Z_FULL_FLUSH)

    return piece(together) * (rows // together) + piece(rows % together)


def tiff_file(tags: Mapping[int, Sequence[int]], pixels: bytes) -> bytes:
    """A TIFF file with these tags, all of 32 bits, whose pixels begin at byte 8."""
    values, entries = b"", b""
    for tag, numbers in sorted(tags.items()):
        raw = struct.pack(f"<{len(numbers)}I", *numbers)
        at = struct.pack("<I", 8 + len(pixels) + len(values)) if len(raw) > 4 else raw
        values += raw if len(raw) > 4 else b""
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + at
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels) + len(values)) + pixels + values + directory


def tiff_strips(
    size: tuple[int, int], rows: int, compression: int, strip: bytes, *, bits: int = 8, step: int | None = None
) -> bytes:
    """A grey TIFF file, every strip of whose so many rows is the same; ``step`` is from one to the next in the file."""
    count = -(-size[1] // rows)
    step = len(strip) if step is None else step
    tags = {256: [size[0]], 257: [size[1]], 258: [bits], 259: [compression], 262: [1], 278: [rows]}
    places = {273: [8 + i * step for i in range(count)], 279: [len(strip)] * count}
    return tiff_file(tags | places, strip * count if step else strip)


def tiff_tile(side: int) -> bytes:
    """A TIFF file of 10x10 pixels, in one tile of so many more."""
    tile = zlib.compress(bytes(side * side), 1)
    places = {322: [side], 323: [side], 324: [8], 325: [len(tile)]}
    return tiff_file({256: [10], 257: [10], 258: [8], 259: [8], 262: [1], **places}, tile)


def tiff_many_tags(count: int) -> bytes:
    """A small LZW TIFF file with as many private tags, about which libtiff has something to say."""
    plain = {256: [8], 257: [8], 258: [8], 259: [5], 262: [1], 273: [8], 278: [8], 279: [40]}
    return tiff_file(plain | {40_000 + i: [1, 2, 3] for i in range(count)}, b"\x80\0\1\2\3\4\5\6\7\10" * 4)


def gif_with(blocks: bytes) -> bytes:
    """A small GIF with these bytes before its frame."""
    file = encoded(solid("L", 200), "GIF")
    at = 13 + (3 << (file[10] & 7) + 1 if file[10] & 0x80 else 0)
    return file[:at] + blocks + file[at:]


def bmp_runs(size: tuple[int, int], runs: bytes) -> bytes:
    """A BMP in 8-bit run lengths."""
    palette = bytes(range(256)) * 4
    start = 54 + len(palette)
    header = struct.pack(
        "<IHHIIiiHHIIiiII", start + len(runs), 0, 0, start, 40, *size, 1, 8, 1, len(runs), 0, 0, 256, 0
    )
    return b"BM" + header + palette + runs


def _inflates_to_a_mebibyte() -> bytes:
    return zlib.compress(bytes(1 << 20), 9)


# What no decoder may be given.
BOMBS: dict[str, Callable[[], bytes]] = {
    "jpeg_of_large_scans": lambda: jpeg_scans((16, 16), 300, claims=(7000, 7000)),
    "jpeg_of_many_small_scans": lambda: jpeg_scans((16, 16), 4000, claims=(1000, 1000)),
    "jpeg_of_a_million_segments": lambda: jpeg_with(b"\xff\xe1\0\2" * 1_000_000),
    "jpeg_with_megabytes_between_segments": lambda: jpeg_with(b"\xff\xe0\0\2" + b"a" * 10_000_000),
    "jpeg_with_megabytes_of_fill": lambda: jpeg_with(b"\xff" * 1_000_000),
    "jpeg_with_megabytes_of_exif": lambda: jpeg_with((b"\xff\xe1\xff\xff" + b"Exif\0\0".ljust(65_533, b"\1")) * 100),
    "png_of_a_million_chunks": lambda: png_file((9, 7), 8, 0, before=png_chunk(b"tEXt", b"a\0b") * 1_000_000),
    "png_of_texts_that_inflate": lambda: png_file(
        (9, 7), 8, 0, before=png_chunk(b"iCCP", b"a\0\0" + _inflates_to_a_mebibyte()) * 5000
    ),
    "png_50_million_pixels_wide": lambda: claiming(png_file((9, 7), 8, 0), 50_000_000, 1),
    "png_of_16_bits_a_channel": lambda: claiming(png_file((9, 7), 16, 6), 7000, 7000),
    "gif_of_a_million_comments": lambda: gif_with(b"!\xfe" + b"\1a" * 1_000_000 + b"\0"),
    "gif_of_a_million_stray_bytes": lambda: gif_with(bytes(1_000_000)),
    "bmp_of_16_million_run_lengths": lambda: bmp_runs((4000, 4000), b"\1\5" * 100),
    "bmp_of_megabytes_of_run_lengths": lambda: bmp_runs((1000, 1000), b"\0\2\0\0" * 2_500_000),
    "plain_ppm": lambda: b"P3 2000 2000 255\n" + b"7 " * 12_000_000,
    "plain_ppm_of_comments": lambda: b"P3 1000 1000 255\n" + b"#\n" * 1_000_000,
    "ppm_of_odd_depth": lambda: b"P6 2000 2000 100\n" + bytes(12_000_000),
    "ppm_with_a_long_comment": lambda: b"P6 #" + b"a" * 5_000_000 + b"\n9 7 255\n" + bytes(189),
    "tiff_of_50_million_strips": lambda: tiff_file(
        {256: [1], 257: [50_000_000], 258: [8], 262: [1], 278: [1], 273: [8] * 50, 279: [1] * 50}, b"\0"
    ),
    "tiff_of_strips_a_byte_apart": lambda: tiff_strips((60_000, 64), 32, 1, bytes(60_000 * 32), step=1),
    "tiff_of_one_shared_strip": lambda: tiff_strips((700, 60_000), 1000, 34925, lzma.compress(bytes(700_000)), step=0),
    "tiff_of_a_huge_tile": lambda: tiff_tile(20_000),
    "tiff_of_jpegs_of_many_scans": lambda: tiff_strips((1000, 4000), 1000, 7, jpeg_scans((1000, 1000), 500)),
    "tiff_of_many_values": lambda: tiff_file({256: [9], 257: [7], 273: [8] * 100_000, 279: [9]}, b"\0"),
}


def _fax(size: tuple[int, int]) -> bytes:
    """Group 4, of one strip of noise that all share."""
    noise = Image.fromarray(np.random.default_rng(0).random((1000, size[0])) < 0.5)
    file = encoded(noise, "TIFF", compression="group4", tiffinfo={278: 1000})
    with Image.open(io.BytesIO(file)) as image:
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]  # type: ignore[attr-defined]
    return tiff_strips(size, 1000, 4, file[start : start + length], bits=1, step=0)


# What comes near to two seconds, by what is known of it before, and is taken.
NEAR: dict[str, Callable[[], bytes]] = {
    "jpeg_of_49_million_pixels": lambda: encoded(Image.new("RGB", (7000, 7000)), "JPEG"),
    "jpeg_of_160_scans": lambda: jpeg_scans((3000, 3000), 150, "RGB"),
    "jpeg_of_small_scans": lambda: jpeg_scans((700, 700), 3500, "RGB"),
    "grey_png": lambda: png_file((7000, 7000), 8, 0),
    "interlaced_bilevel_png": lambda: png_file((7000, 7000), 1, 0, interlaced=True),
    "colour_png": lambda: png_file((6500, 6500), 8, 2),
    "deep_transparent_png": lambda: png_file((4400, 4400), 16, 6),
    "png_of_texts": lambda: png_file(
        (9, 7), 8, 0, before=png_chunk(b"iCCP", b"a\0\0" + _inflates_to_a_mebibyte()) * 300
    ),
    "png_of_chunks": lambda: png_file((9, 7), 8, 0, before=png_chunk(b"abCd", b"") * 60_000),
    "gif": lambda: encoded(Image.new("L", (7000, 7000)), "GIF", interlace=True),
    "gif_of_comments": lambda: gif_with(b"!\xfe" + b"\1a" * 60_000 + b"\0"),
    "lossless_webp": lambda: encoded(Image.new("RGB", (6500, 6500)), "WEBP", lossless=True, quality=0, method=0),
    "bmp_of_run_lengths": lambda: bmp_runs((1300, 1300), b"\0\3\1\2\3\0" * 563_334),
    "plain_ppm": lambda: b"P3 1140 1140 255\n" + b"7 " * (1140 * 1140 * 3),
    "ppm_of_odd_depth": lambda: b"P6 800 800 100\n" + bytes(800 * 800 * 3),
    "tiff_of_raw_strips": lambda: tiff_strips((8, 60_000), 1, 1, bytes(8)),
    "tiff_of_a_shared_strip": lambda: tiff_strips(
        (700, 28_000),
        1000,
        8,
        zlib.compress(np.random.default_rng(0).integers(0, 4, 700_000, "u1").tobytes(), 9),
        step=0,
    ),
    "fax": lambda: _fax((7000, 4000)),
    "lab_tiff": lambda: encoded(Image.new("LAB", (5000, 5000)), "TIFF", compression="tiff_adobe_deflate"),
    "float_tiff": lambda: encoded(Image.new("F", (5500, 5500)), "TIFF", compression="tiff_lzw"),
}
