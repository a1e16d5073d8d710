"""Every image comes out as the card says: its colours, upright, fitted."""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import BLUE, GREEN, RED, encoded, solid
from tests.service.image_files import BACKGROUND, ORIENTATION, SOLID, TRANSPARENT, grey_file, read

# As `service.imaging` itself does, whose filter pytest has replaced: Pillow's warnings are not errors there.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


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
