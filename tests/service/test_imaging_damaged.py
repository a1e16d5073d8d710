"""What is no image, or a damaged or too large one, is refused in words and never otherwise."""

import io
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.errors import InvalidImage, TooLarge
from service.image_bounds import FORMATS
from service.imaging import decode, prepare
from service.package import Preprocessing
from tests.pictures import RED, claiming, encoded, noise, solid
from tests.service.image_files import ORIENTATION, PIXELS, SOLID, TRANSPARENT, palette, read

# As `service.imaging` itself does, whose filter pytest has replaced: Pillow's warnings are not errors there.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_no_bytes_are_no_image() -> None:
    with pytest.raises(InvalidImage, match="the image has 0 bytes"):
        read(b"")


def zip_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("image.png", encoded(solid("L", 1), "PNG"))
    return buffer.getvalue()


NO_IMAGE: dict[str, bytes] = {
    "text": b"a cat",
    "zeros": bytes(1000),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>',
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "json": b'{"image": "base64"}',
    "zip": zip_file(),
    "pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\nshowpage\n",
    "svg_called_gif": b"GIF89a<svg onload=alert(1)>" + bytes(20),
    "html_called_png": b"\x89PNG\r\n\x1a\n<html></html>",
    "ico": encoded(solid("RGB", RED, (16, 16)), "ICO"),
    "tga": encoded(solid("RGB", RED), "TGA"),
    "jpeg_2000": encoded(solid("RGB", RED, (16, 16)), "JPEG2000"),
    "avif_brand": b"\0\0\0\x1cftypavif" + bytes(100),
}


@pytest.mark.parametrize("file", NO_IMAGE.values(), ids=list(NO_IMAGE))
def test_what_is_no_image_is_refused_with_the_formats_that_are(file: bytes) -> None:
    with pytest.raises(InvalidImage, match=f"{len(file)} bytes .*{', '.join(FORMATS)}"):
        read(file)


def test_what_follows_the_image_is_never_looked_at() -> None:
    assert (read(encoded(solid("RGB", RED), "PNG") + zip_file()) == RED).all()


def test_a_palette_image_without_its_palette_is_refused() -> None:
    file = palette()
    start = file.index(b"PLTE") - 4
    with pytest.raises(InvalidImage):
        read(file[:start] + file[file.index(b"IDAT") - 4 :])


WHOLE: dict[str, bytes] = {
    "png": encoded(noise(), "PNG"),
    "jpeg": encoded(noise(), "JPEG"),
    "progressive_jpeg": encoded(noise(), "JPEG", progressive=True),
    "gif": encoded(noise(), "GIF"),
    "webp": encoded(noise(), "WEBP"),
    "lossless_webp": encoded(noise(), "WEBP", lossless=True),
    "bmp": encoded(noise(), "BMP"),
    "ppm": encoded(noise(), "PPM"),
    "tiff": encoded(noise(), "TIFF"),
    "lzw_tiff": encoded(noise(), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("eighths", range(1, 8))
@pytest.mark.parametrize("file", WHOLE.values(), ids=list(WHOLE))
def test_a_truncated_image_is_refused(file: bytes, eighths: int) -> None:
    assert read(file).any()
    with pytest.raises(InvalidImage):
        read(file[: len(file) * eighths // 8])


BOMBS = {
    "PNG": (50_000, 50_000),
    "JPEG": (65_000, 65_000),
    "GIF": (65_535, 65_535),
    "BMP": (50_000, 50_000),
    "PPM": (1_000_000, 1_000_000),
    "TIFF": (50_000, 50_000),
}


@pytest.mark.parametrize(("format_", "size"), BOMBS.items(), ids=list(BOMBS))
def test_a_decompression_bomb_is_refused_by_its_header(format_: str, size: tuple[int, int]) -> None:
    width, height = size
    # There are not as many pixels in the file: decoding it first would end in InvalidImage.
    bomb = claiming(encoded(solid("RGB", RED), format_), width, height)
    with pytest.raises(TooLarge, match=f"{width}x{height} pixels; at most 50000000"):
        read(bomb, max_pixels=50_000_000)


def test_the_pixel_limit_itself_is_allowed_and_one_more_is_not() -> None:
    file = encoded(solid("L", 1, (10, 10)), "PNG")
    assert read(file, max_pixels=100).any()
    with pytest.raises(TooLarge, match="10x10 pixels; at most 99"):
        read(file, max_pixels=99)


def answered_or_refused(file: bytes) -> None:
    """The only two ways a stranger's bytes may go."""
    try:
        image = decode(file, PIXELS)
        for fit in ("stretch", "crop", "pad"):
            card = Preprocessing(tensor="image", colour="rgb", height=4, width=4, fit=fit)
            assert prepare(image, card).shape == (4, 4, 3)
    except (InvalidImage, TooLarge):
        pass


MUTABLE = [file for file, _ in SOLID.values()] + list(TRANSPARENT.values()) + list(WHOLE.values())


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A real file with bytes changed, taken out or put in."""
    file = bytearray(draw(st.sampled_from(MUTABLE)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(file)))
        length = draw(st.integers(0, 4))
        file[at : at + length] = draw(st.binary(max_size=4))
    return bytes(file)


@given(mutations())
def test_a_damaged_image_is_answered_or_refused(file: bytes) -> None:
    answered_or_refused(file)


MAGIC = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"P6 ",
    b"RIFF\x20\0\0\0WEBP",
]


@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_arbitrary_bytes_are_answered_or_refused(magic: bytes, rest: bytes) -> None:
    answered_or_refused(magic + rest)


@pytest.mark.parametrize("field_type", range(14))
def test_a_tiff_file_whose_numbers_are_of_another_type_is_answered_or_refused(field_type: int) -> None:
    file = encoded(solid("L", 200, (2, 2)), "TIFF")
    for tag in range(256, 280):
        at = file.find(bytes((tag % 256, 1)))
        if at > 0:
            answered_or_refused(file[: at + 2] + bytes((field_type, 0)) + file[at + 4 :])


def test_a_strangers_damaged_metadata_writes_nothing_to_the_log() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    file = encoded(solid("L", 200), "JPEG", exif=exif.tobytes()[:-5])
    program = f"from service.imaging import decode; decode({file!r}, 1000)"
    done = subprocess.run([sys.executable, "-W", "default", "-c", program], capture_output=True, check=True)
    assert done.stderr == b""
