import io
import struct
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.errors import InvalidImage, TooLarge
from service.imaging import FORMATS, decode, prepare
from service.package import Preprocessing
from tests.service.images import BLUE, GREEN, RED, claiming, deep_png, encoded, noise, solid

# As `service.imaging` itself does, whose filter pytest has replaced: Pillow's warnings are not errors there.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ORIENTATION = 0x0112
PIXELS = 100_000
BACKGROUND = 40
CMYK_GREEN = (255, 0, 255, 0)


def read(file: bytes, max_pixels: int = PIXELS, **preprocessing: Any) -> NDArray[np.uint8]:
    """The file as a graph that takes 4x4 images gets it."""
    card = {"tensor": "image", "colour": "rgb", "height": 4, "width": 4, "background": BACKGROUND, **preprocessing}
    return prepare(decode(file, max_pixels), Preprocessing.model_validate(card))


def grey_file(rows: Any, format_: str = "PNG", dtype: str = "u1", **options: Any) -> bytes:
    """A file of these grey levels."""
    return encoded(Image.fromarray(np.asarray(rows, dtype)), format_, **options)


def palette(transparency: int | bytes | None = None, format_: str = "PNG") -> bytes:
    """A palette image whose every pixel is number 1, orange."""
    image = solid("P", 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return encoded(image, format_, **({} if transparency is None else {"transparency": transparency}))


def animated(format_: str) -> bytes:
    """A red frame, and then others."""
    frames = [solid("RGB", colour) for colour in (RED, GREEN, BLUE)]
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], lossless=True)


# Of one colour, and what it is in 8-bit RGB.
SOLID: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "bilevel_png": (encoded(solid("1", 1), "PNG"), (255, 255, 255)),
    "grey_png": (encoded(solid("L", 200), "PNG"), (200, 200, 200)),
    "grey_alpha_png": (encoded(solid("LA", (200, 255)), "PNG"), (200, 200, 200)),
    "rgb_png": (encoded(solid("RGB", (200, 100, 50)), "PNG"), (200, 100, 50)),
    "rgba_png": (encoded(solid("RGBA", (200, 100, 50, 255)), "PNG"), (200, 100, 50)),
    "palette_png": (palette(), (200, 100, 50)),
    "palette_png_other_index_transparent": (palette(transparency=0), (200, 100, 50)),
    "palette_png_alpha_table": (palette(transparency=b"\0\xff"), (200, 100, 50)),
    "white_16_bit_png": (grey_file(np.full((7, 9), 65535), dtype="u2"), (255, 255, 255)),
    "grey_16_bit_png": (grey_file(np.full((7, 9), 0x8001), dtype="u2"), (128, 128, 128)),
    "grey_alpha_16_bit_png": (deep_png(4, (0x8000, 0xFFFF)), (128, 128, 128)),
    "rgb_16_bit_png": (deep_png(2, (0xFFFF, 0x8000, 0)), (255, 128, 0)),
    "rgba_16_bit_png": (deep_png(6, (0xFFFF, 0x8000, 0, 0xFFFF)), (255, 128, 0)),
    "cmyk_jpeg": (encoded(solid("CMYK", CMYK_GREEN), "JPEG", quality=100), GREEN),
    "grey_jpeg": (encoded(solid("L", 200), "JPEG"), (200, 200, 200)),
    "rgb_jpeg": (encoded(solid("RGB", (200, 100, 50)), "JPEG", quality=100, subsampling=0), (200, 100, 50)),
    "progressive_jpeg": (encoded(solid("L", 200), "JPEG", progressive=True), (200, 200, 200)),
    "gif": (palette(format_="GIF"), (200, 100, 50)),
    "interlaced_gif": (encoded(solid("P", 0), "GIF", interlace=True), (0, 0, 0)),
    "animated_gif": (animated("GIF"), RED),
    "animated_webp": (animated("WEBP"), RED),
    "animated_png": (animated("PNG"), RED),
    "two_page_tiff": (animated("TIFF"), RED),
    "webp": (encoded(solid("RGB", (200, 100, 50)), "WEBP", lossless=True), (200, 100, 50)),
    "rgba_webp": (encoded(solid("RGBA", (200, 100, 50, 255)), "WEBP", lossless=True), (200, 100, 50)),
    "bmp": (encoded(solid("RGB", (200, 100, 50)), "BMP"), (200, 100, 50)),
    "bilevel_bmp": (encoded(solid("1", 1), "BMP"), (255, 255, 255)),
    "ppm": (encoded(solid("RGB", (200, 100, 50)), "PPM"), (200, 100, 50)),
    "bilevel_pbm": (encoded(solid("1", 1), "PPM"), (255, 255, 255)),
    "white_16_bit_pgm": (b"P5 3 2 65535\n" + b"\xff\xff" * 6, (255, 255, 255)),
    "grey_16_bit_pgm": (b"P5 3 2 65535\n" + b"\x80\x00" * 6, (128, 128, 128)),
    "white_10_bit_pgm": (b"P2 1 1 1023\n1023", (255, 255, 255)),
    "tiff": (encoded(solid("RGB", (200, 100, 50)), "TIFF"), (200, 100, 50)),
    "deflated_tiff": (encoded(solid("RGB", (200, 100, 50)), "TIFF", compression="tiff_adobe_deflate"), (200, 100, 50)),
    "cmyk_tiff": (encoded(solid("CMYK", CMYK_GREEN), "TIFF"), GREEN),
    "white_16_bit_tiff": (grey_file(np.full((7, 9), 65535), "TIFF", "u2"), (255, 255, 255)),
    "32_bit_tiff": (grey_file(np.full((7, 9), 200), "TIFF", "i4"), (200, 200, 200)),
    "32_bit_tiff_over_range": (grey_file(np.full((7, 9), 70000), "TIFF", "i4"), (255, 255, 255)),
    "float_tiff": (grey_file(np.full((7, 9), 200.7), "TIFF", "f4"), (200, 200, 200)),
    "float_tiff_below_range": (grey_file(np.full((7, 9), -5.0), "TIFF", "f4"), (0, 0, 0)),
    "float_tiff_infinite": (grey_file(np.full((7, 9), np.inf), "TIFF", "f4"), (255, 255, 255)),
    "float_tiff_not_a_number": (grey_file(np.full((7, 9), np.nan), "TIFF", "f4"), (0, 0, 0)),
}
# Nothing to see in them but what lies beneath.
TRANSPARENT: dict[str, bytes] = {
    "grey_alpha_png": encoded(solid("LA", (200, 0)), "PNG"),
    "rgba_png": encoded(solid("RGBA", (200, 100, 50, 0)), "PNG"),
    "rgba_16_bit_png": deep_png(6, (0xFFFF, 0x8000, 0, 0)),
    "palette_png": palette(transparency=1),
    "palette_png_alpha_table": palette(transparency=b"\xff\0"),
    "grey_png_one_level": encoded(solid("L", 200), "PNG", transparency=200),
    "bilevel_png_one_level": encoded(solid("1", 1), "PNG", transparency=1),
    "rgb_png_one_colour": encoded(solid("RGB", (200, 100, 50)), "PNG", transparency=(200, 100, 50)),
    "gif": palette(transparency=1, format_="GIF"),
    "rgba_webp": encoded(solid("RGBA", (200, 100, 50, 0)), "WEBP", lossless=True, exact=True),
    "palette_alpha_tiff": encoded(solid("RGBA", (200, 100, 50, 0)).convert("PA"), "TIFF"),
    "rgba_tiff": encoded(solid("RGBA", (200, 100, 50, 0)), "TIFF"),
}


@pytest.mark.parametrize(("file", "colour"), SOLID.values(), ids=list(SOLID))
def test_one_colour_stays_that_colour(file: bytes, colour: tuple[int, int, int]) -> None:
    tolerance = 3 if file.startswith(b"\xff\xd8") else 0  # JPEG is lossy
    pixels = read(file)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 4, 3)
    np.testing.assert_allclose(pixels.astype(int), np.broadcast_to(colour, (4, 4, 3)), atol=tolerance)


@pytest.mark.parametrize(("file", "colour"), SOLID.values(), ids=list(SOLID))
def test_a_grey_card_gets_the_luma_of_the_colour(file: bytes, colour: tuple[int, int, int]) -> None:
    pixels = read(file, colour="grey")
    luma = np.dot(colour, (0.299, 0.587, 0.114))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 4)
    np.testing.assert_allclose(pixels.astype(int), luma, atol=3 if file.startswith(b"\xff\xd8") else 0.5)


@pytest.mark.parametrize("file", TRANSPARENT.values(), ids=list(TRANSPARENT))
@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_what_is_transparent_shows_the_background(file: bytes, colour: str) -> None:
    assert (read(file, colour=colour) == BACKGROUND).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_half_transparent_is_half_the_background(mode: str) -> None:
    half = solid(mode, (240, 128) if mode == "LA" else (240, 240, 240, 128))
    np.testing.assert_allclose(read(encoded(half, "PNG")), (240 + BACKGROUND) / 2, atol=1)


def test_grey_premultiplied_with_its_alpha_is_laid_over_the_background() -> None:
    file = encoded(solid("LA", (50, 128)), "TIFF")
    extra_samples = struct.pack("<HHI", 338, 3, 1)
    alpha, premultiplied = extra_samples + b"\2", extra_samples + b"\1"
    assert alpha in file
    np.testing.assert_allclose(read(file.replace(alpha, premultiplied)), 50 + BACKGROUND / 2, atol=1)


def test_an_image_of_the_cards_size_comes_through_untouched() -> None:
    rows = np.arange(16).reshape(4, 4) * 16
    for fit in ("stretch", "crop", "pad"):
        np.testing.assert_array_equal(read(grey_file(rows), colour="grey", fit=fit), rows)


UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]])
# How the camera was held: what it stored of `UPRIGHT`, for each value of the EXIF tag.
STORED: dict[int, NDArray[np.int_]] = {
    1: UPRIGHT,
    2: np.fliplr(UPRIGHT),
    3: np.rot90(UPRIGHT, 2),
    4: np.flipud(UPRIGHT),
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: np.rot90(UPRIGHT, 2).T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "stored"), STORED.items(), ids=map(str, STORED))
def test_an_image_is_turned_upright_as_its_exif_says(orientation: int, stored: NDArray[np.int_], format_: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = grey_file(stored, format_, exif=exif, lossless=True)
    np.testing.assert_array_equal(read(file, colour="grey", height=2, width=3), UPRIGHT)


def test_a_jpeg_is_turned_upright_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    dark_left = np.zeros((16, 16), "u1")
    dark_left[:, 8:] = 255
    pixels = read(grey_file(np.rot90(dark_left), "JPEG", exif=exif, quality=100), colour="grey", height=16, width=16)
    np.testing.assert_allclose(pixels.astype(int), dark_left, atol=10)


def flag() -> bytes:
    """Three upright squares: red, green, blue."""
    image = solid("RGB", GREEN, (12, 4))
    image.paste(RED, (0, 0, 4, 4))
    image.paste(BLUE, (8, 0, 12, 4))
    return encoded(image, "PNG")


def test_stretch_keeps_all_of_a_wide_image() -> None:
    row = read(flag(), fit="stretch", interpolation="nearest")[0].tolist()
    assert (row[0], row[-1]) == (list(RED), list(BLUE))
    assert list(GREEN) in row


def test_crop_keeps_the_centre_of_a_wide_image() -> None:
    assert (read(flag(), fit="crop", interpolation="nearest") == GREEN).all()


def test_pad_keeps_all_of_a_wide_image_between_borders_of_the_background() -> None:
    pixels = read(flag(), fit="pad", interpolation="nearest", height=20, width=12)
    assert (pixels[:8] == BACKGROUND).all()
    assert (pixels[12:] == BACKGROUND).all()
    assert (pixels[8:12, :4] == RED).all()
    assert (pixels[8:12, 4:8] == GREEN).all()
    assert (pixels[8:12, 8:] == BLUE).all()


def test_pad_puts_a_narrow_image_between_borders_left_and_right() -> None:
    pixels = read(encoded(solid("L", 200, (1, 2)), "PNG"), fit="pad", colour="grey", height=4, width=8)
    assert pixels.tolist() == [[BACKGROUND] * 3 + [200] * 2 + [BACKGROUND] * 3] * 4


@pytest.mark.parametrize(("size", "seen"), [((1000, 1), (slice(2, 3), slice(8))), ((1, 1000), (slice(6), slice(3, 4)))])
def test_pad_leaves_one_pixel_of_what_is_very_thin(size: tuple[int, int], seen: tuple[slice, slice]) -> None:
    wanted = np.full((6, 8), BACKGROUND)
    wanted[seen] = 200
    pixels = read(encoded(solid("L", 200, size), "PNG"), fit="pad", colour="grey", height=6, width=8)
    np.testing.assert_array_equal(pixels, wanted)


@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (3, 500), (400, 200)])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_an_image_of_any_size_is_fitted_and_seen(size: tuple[int, int], fit: str, colour: str) -> None:
    pixels = read(encoded(solid("L", 200, size), "PNG"), fit=fit, colour=colour, height=6, width=8)
    assert pixels.shape[:2] == (6, 8)
    assert (pixels == 200).any()


def test_nearest_takes_pixels_as_they_are() -> None:
    corners = grey_file([[0, 50], [100, 250]])
    pixels = read(corners, colour="grey", interpolation="nearest")
    np.testing.assert_array_equal(pixels, np.kron([[0, 50], [100, 250]], np.ones((2, 2))))


@pytest.mark.parametrize(("interpolation", "averages"), [("nearest", False), ("bilinear", True), ("bicubic", True)])
def test_shrinking_averages_unless_it_takes_the_nearest(interpolation: str, averages: bool) -> None:
    stripes = grey_file(np.tile([0, 255], (32, 16)))
    pixels = read(stripes, colour="grey", interpolation=interpolation).astype(int)
    assert (np.abs(pixels - 127) < 30).all() == averages


def test_bicubic_and_lanczos_sharpen_an_edge_each_in_its_way_and_bilinear_does_not() -> None:
    edge = grey_file(np.repeat([[100] * 4 + [150] * 4], 4, axis=0))
    large = {
        name: read(edge, colour="grey", interpolation=name, height=8, width=64)
        for name in ("bilinear", "bicubic", "lanczos")
    }
    assert (large["bilinear"].min(), large["bilinear"].max()) == (100, 150)
    assert large["bicubic"].min() < 100 < 150 < large["bicubic"].max()
    assert large["lanczos"].min() < 100 < 150 < large["lanczos"].max()
    assert (large["bicubic"] != large["lanczos"]).any()


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


@settings(deadline=None, max_examples=500)
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


@settings(deadline=None, max_examples=300)
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
