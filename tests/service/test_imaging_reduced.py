"""A JPEG far larger than the graph's input is decoded smaller, and looks to the graph as it did."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.imaging import decode, prepare, take_views
from service.package import Preprocessing, read_package
from tests.pictures import encoded
from tests.service.image_files import ORIENTATION

PIXELS = 10_000_000
# Of 255, between what a graph gets of a photograph decoded whole and of the same decoded smaller.
MEAN_TOLERANCE, TOLERANCE = 1.0, 8


def card(**preprocessing: Any) -> Preprocessing:
    return Preprocessing.model_validate(
        {"tensor": "image", "colour": "rgb", "height": 32, "width": 32, **preprocessing}
    )


def photograph(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Detail of every size, the less of it the finer it is, as in photographs."""
    draw, total = np.random.default_rng(0), np.zeros((height, width, 3))
    for octave in range(7):
        coarse = Image.fromarray(draw.integers(0, 256, (2 << octave, 2 << octave, 3), "u1"))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), "f4") / (octave + 1)
    low, high = total.min(), total.max()
    return Image.fromarray(((total - low) / (high - low) * 255).astype("u1")).convert(mode)


def assert_alike(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> None:
    difference = np.abs(found.astype(int) - wanted)
    assert found.shape == wanted.shape
    assert (difference.mean() < MEAN_TOLERANCE, difference.max() <= TOLERANCE) == (True, True), difference.max()


@pytest.mark.parametrize(
    ("size", "wanted", "decoded"),
    [
        ((640, 480), {}, (160, 120)),
        ((768, 768), {}, (96, 96)),  # an eighth, the least there is
        ((2000, 2000), {}, (250, 250)),
        ((192, 192), {}, (96, 96)),
        ((191, 640), {}, (191, 640)),  # a half of it would be less than three times the input
        ((640, 480), {"height": 224, "width": 224}, (640, 480)),
        ((640, 480), {"height": 16, "width": 32}, (160, 120)),
        ((640, 480), {"interpolation": "nearest"}, (640, 480)),
    ],
)
def test_a_jpeg_is_never_decoded_at_less_than_three_times_what_the_graph_takes(
    size: tuple[int, int], wanted: dict[str, Any], decoded: tuple[int, int]
) -> None:
    file = encoded(Image.new("RGB", size, "red"), "JPEG")
    assert decode(file, PIXELS, card(**wanted)).size == decoded


def test_ten_crops_are_taken_of_a_larger_image_so_it_is_decoded_larger() -> None:
    file = encoded(Image.new("RGB", (192, 192), "red"), "JPEG")
    assert decode(file, PIXELS, card(), "flip").size == (96, 96)
    assert decode(file, PIXELS, card(), "ten_crop").size == (192, 192)
    assert decode(file, PIXELS, card(height=28, width=28), "ten_crop").size == (96, 96)


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_other_formats_are_decoded_whole(format_: str) -> None:
    assert decode(encoded(Image.new("RGB", (640, 480)), format_), PIXELS, card()).size == (640, 480)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("colour", ["rgb", "grey"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "subsampling": 0}], ids=["baseline", "progressive"])
def test_a_graph_gets_nearly_the_same(mode: str, colour: str, fit: str, options: dict[str, Any]) -> None:
    file, wanted = encoded(photograph(640, 480, mode), "JPEG", quality=90, **options), card(colour=colour, fit=fit)
    reduced = decode(file, PIXELS, wanted)
    assert reduced.size == (160, 120)
    assert_alike(prepare(reduced, wanted), prepare(decode(file, PIXELS), wanted))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_stands_upright_as_its_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = encoded(photograph(640, 480), "JPEG", quality=90, exif=exif)
    wanted = card(height=16)
    reduced = decode(file, PIXELS, wanted)
    assert reduced.size == ((160, 120) if orientation < 5 else (120, 160))
    assert_alike(prepare(reduced, wanted), prepare(decode(file, PIXELS), wanted))


@pytest.mark.parametrize("views", ["flip", "ten_crop"])
def test_views_are_nearly_the_same(views: Any) -> None:
    file = encoded(photograph(640, 480), "JPEG", quality=90)
    reduced = decode(file, PIXELS, card(), views)
    assert reduced.width < 640
    assert_alike(take_views(reduced, card(), views), take_views(decode(file, PIXELS), card(), views))


@pytest.mark.parametrize("side", [280, 1400])
def test_a_classifier_answers_the_same(side: int) -> None:
    package = read_package(Path("models/zoo/lenet5/1"))
    session = ort.InferenceSession(str(package.path(package.classifier.graph.file)), providers=["CPUExecutionProvider"])
    with Image.open("tests/data/seven.png") as seven:
        file = encoded(seven.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), "JPEG")
    wanted = package.classifier.preprocessing
    reduced = decode(file, PIXELS, wanted)
    assert reduced.width < side
    images = np.stack([prepare(image, wanted) for image in (reduced, decode(file, PIXELS))])
    (found, whole), *_ = session.run([package.classifier.classes.tensor], {wanted.tensor: images})
    assert package.labels[found.argmax()] == package.labels[whole.argmax()] == "7"
    np.testing.assert_allclose(found, whole, atol=0.01)
