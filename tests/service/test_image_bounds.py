"""The smallest files, and those that say one thing to the bounds and another to the decoder."""

import struct

import pytest
from PIL import Image

from service.errors import InvalidImage
from service.image_bounds.webp import bounds
from service.imaging import decode
from tests.pictures import RED, encoded, solid
from tests.service.image_bombs import tiff_file

TINY_BMP = b"BM" + struct.pack("<IHHIIHHHH", 30, 0, 0, 26, 12, 1, 1, 1, 24) + bytes((0, 0, 255, 0))


@pytest.mark.parametrize(
    "file",
    [TINY_BMP, *(encoded(solid("RGB", RED, (1, 1)), format_, lossless=True) for format_ in ("WEBP", "PNG", "TIFF"))],
    ids=["BMP", "WEBP", "PNG", "TIFF"],
)
def test_a_file_of_one_pixel_is_taken(file: bytes) -> None:
    assert decode(file, 1).convert("RGB").getpixel((0, 0)) == RED


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_upright_once(orientation: int) -> None:
    image = Image.new("L", (2, 3), 0)
    image.putpixel((0, 0), 255)
    found = decode(encoded(image, "TIFF", tiffinfo={274: orientation}), 100)
    white = [(x, y) for x in range(found.width) for y in range(found.height) if found.getpixel((x, y))]
    wide, high = found.width - 1, found.height - 1
    corner = {1: (0, 0), 2: (wide, 0), 3: (wide, high), 4: (0, high), 5: (0, 0), 6: (wide, 0), 7: (wide, high)}
    assert white == [corner.get(orientation, (0, high))]
    assert found.size == ((2, 3) if orientation < 5 else (3, 2))


def test_a_file_of_two_sizes_is_refused() -> None:
    file = encoded(solid("L", 200, (9, 7)), "JPEG")
    at = file.index(b"\xff\xc0")
    header = file[at : at + 2 + int.from_bytes(file[at + 2 : at + 4])]
    larger = header[:5] + struct.pack(">HH", 7000, 7000) + header[9:]
    with pytest.raises(InvalidImage, match="two frame headers"):
        decode(file[:at] + larger + file[at:], 10**9)


@pytest.mark.parametrize("compression", [6, 32809, 34676, 50001, 4711])
def test_a_tiff_in_a_compression_that_is_not_read_is_refused_by_its_number(compression: int) -> None:
    tags = {256: [9], 257: [7], 258: [8], 259: [compression], 262: [1], 273: [8], 278: [7], 279: [63]}
    with pytest.raises(InvalidImage, match=f"compression {compression}, which is not supported"):
        decode(tiff_file(tags, bytes(63)), 100)


def test_a_big_tiff_is_refused() -> None:
    with pytest.raises(InvalidImage, match="a header other than classic TIFF's"):
        decode(encoded(solid("L", 200), "TIFF", big_tiff=True), 100)


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA])
def test_a_jpeg_in_arithmetic_or_lossless_coding_is_refused(marker: int) -> None:
    file = encoded(solid("L", 200), "JPEG").replace(b"\xff\xc0", bytes((0xFF, marker)))
    with pytest.raises(InvalidImage, match="arithmetic, lossless or hierarchical coding"):
        decode(file, 100)


def test_lossless_webp_is_charged_for_the_codes_that_its_blocks_may_choose_among() -> None:
    noise = Image.effect_noise((300, 300), 100).convert("RGB")
    lossless, lossy = (encoded(noise, "WEBP", lossless=lossless, method=0) for lossless in (True, False))
    per_byte = [(bounds(file).nanoseconds - bounds(file[:30]).nanoseconds) / len(file) for file in (lossless, lossy)]
    assert per_byte[0] > per_byte[1] + 100
