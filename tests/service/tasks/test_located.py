"""Weak localisation: what a classifier's class activation map gives as a mask, at the image's size."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.config import Config
from service.engine import Engine
from service.errors import InvalidArgument, UnknownModel
from service.fitting import fitted
from service.masks.activation import strong
from service.package import OUTPUTS
from service.tasks.image_decoding import ImageDecoder
from service.tasks.segment import Segment
from tests.explaining_packages import activation_maps, write_explaining_package
from tests.packages import SIDE, expected, write_package
from tests.pictures import encoded
from tests.segment_packages import write_segment_package
from tests.service.tasks.asking import answer

LABELS = ("zero", "one", "two")
MODEL: dict[str, Any] = {"model": "seeing"}


@asynccontextmanager
async def serving(folder: Path, fit: str = "stretch") -> AsyncIterator[Segment]:
    """The task over `seeing`, which has class activation maps, `blind`, which has none, and a segmenter."""
    preprocessing = {"tensor": "image", "colour": "grey", "height": SIDE, "width": SIDE, "fit": fit}
    write_explaining_package(folder, preprocessing={**preprocessing, "interpolation": "nearest"})
    write_package(folder, "blind")
    write_segment_package(folder)
    config = Config(repository=folder)
    async with Engine(config) as engine:
        yield Segment(engine, config, ImageDecoder(config))


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (height, width), dtype="u1")


def file(pixels: NDArray[np.uint8]) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def wanted(pixels: NDArray[np.uint8], label: int | None = None, share: float = 0.2) -> tuple[NDArray[np.bool_], int]:
    """The mask at the graph's size, and its label, by numpy."""
    row = pixels[None]
    label = int(expected(row)[0].argmax()) if label is None else label
    return strong(activation_maps(row)[0, label], SIDE, SIDE, share), label


async def test_the_mask_is_where_the_map_of_the_most_probable_label_is_strong(tmp_path: Path) -> None:
    pixels = picture(SIDE, SIDE)
    async with serving(tmp_path) as segment:
        found = await answer(
            segment.endpoints[0], image=file(pixels), method="cam", output="statistics,indices,mask", **MODEL
        )
    mask, label = wanted(pixels)
    np.testing.assert_array_equal(np.frombuffer(found.indices, "u1").reshape(mask.shape), mask)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(found.mask))), mask)
    background, located = found.classes
    assert (background.label, background.background, background.confidence) == ("background", True, 0)
    assert (located.label, located.index, located.pixels) == (LABELS[label], 1, mask.sum())
    assert located.confidence == pytest.approx(expected(pixels[None])[0, label], abs=1e-5)


@pytest.mark.parametrize(("label", "index"), [("zero", 0), ("two", 2), ("1", 1)])
@pytest.mark.parametrize("share", [0.1, 0.8])
async def test_another_label_and_share_may_be_wanted(label: str, index: int, share: float, tmp_path: Path) -> None:
    pixels = picture(SIDE, SIDE, seed=1)
    async with serving(tmp_path) as segment:
        found = await answer(
            segment.endpoints[0], image=file(pixels), label=label, threshold=share, output="indices", **MODEL
        )
    mask, _ = wanted(pixels, index, share)
    assert found.indices == mask.astype("u1").tobytes()
    assert found.classes[1].label == LABELS[index]


async def test_the_box_is_that_of_the_largest_part_in_the_images_own_pixels(tmp_path: Path) -> None:
    small = np.zeros((SIDE, SIDE), "u1")
    small[:2, 2:] = 250
    pixels = np.kron(small, np.ones((10, 20), "u1")).astype("u1")
    label = next(i for i in range(len(LABELS)) if activation_maps(small[None])[0, i, 0, 1] > 0)
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(pixels), label=str(label), threshold=0.9, **MODEL)
    mask, _ = wanted(small, label, 0.9)
    rows, columns = np.nonzero(mask)
    box = [columns.min() * 20, rows.min() * 10, np.ptp(columns) * 20 + 20, np.ptp(rows) * 10 + 10]
    (instances,) = found.instances
    assert (instances.label, instances.count, instances.objects[0].box) == (LABELS[label], 1, box)
    assert found.mask


def middle(place: int, length: int, side: int) -> int:
    """Where the middle of a pixel is in the graph's input, which has the middle ``side`` pixels of ``length``."""
    return floor((Fraction(2 * place + 1, 2) - Fraction(length - side, 2)) * SIDE / side)


@pytest.mark.parametrize("size", [(8, 4), (4, 8), (40, 40), (13, 29), (300, 7), (1, 50)])
async def test_what_was_cropped_away_is_background(size: tuple[int, int], tmp_path: Path) -> None:
    pixels = picture(*size)
    async with serving(tmp_path, "crop") as segment:
        said = segment.select("seeing", "").package.classifier.preprocessing
        found = await answer(
            segment.endpoints[0], image=file(pixels), threshold=0.01, label="0", output="statistics,indices", **MODEL
        )
    width, height = size
    mask = np.frombuffer(found.indices, "u1").reshape(height, width)
    seen, _ = wanted(np.asarray(fitted(Image.fromarray(pixels), said)), 0, 0.01)
    for y in range(height):
        for x in range(width):
            row, column = (middle(place, length, min(size)) for place, length in ((y, height), (x, width)))
            inside = 0 <= row < SIDE and 0 <= column < SIDE
            assert mask[y, x] == (seen[row, column] if inside else 0)
    assert [each.pixels for each in found.classes] == [(mask == 0).sum(), (mask == 1).sum()]


async def test_each_image_of_a_batch_has_its_own_label_and_mask(tmp_path: Path) -> None:
    pictures = [picture(SIDE, SIDE, seed) for seed in range(12)]
    async with serving(tmp_path) as segment:
        found = await answer(
            segment.endpoints[1], images=[file(pixels) for pixels in pictures], output="indices", **MODEL
        )
    for result, pixels in zip(found.results, pictures, strict=True):
        mask, label = wanted(pixels)
        assert (result.indices, result.classes[1].label) == (mask.astype("u1").tobytes(), LABELS[label])
    assert len({result.classes[1].label for result in found.results}) > 1


async def test_it_comes_in_every_form(tmp_path: Path) -> None:
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(picture(30, 20)), output=",".join(OUTPUTS), **MODEL)
    (polygons,) = found.polygons
    assert polygons.label == found.classes[1].label
    assert found.overlay
    assert [each.index for each in found.rle] == [0, 1]


async def test_a_classifier_answers_only_if_it_is_named_and_has_maps(tmp_path: Path) -> None:
    async with serving(tmp_path) as segment:
        assert segment.select("", "").name == "colours"
        assert segment.select("seeing", "").name == "seeing"
        with pytest.raises(
            UnknownModel, match=r"model 'blind' does not segment images; these do: \['colours', 'seeing"
        ):
            segment.select("blind", "")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({**MODEL, "method": "grad"}, r"method is 'grad'; model 'seeing' allows \['cam'\]"),
    ({**MODEL, "label": "seven"}, r"label is 'seven'; model 'seeing' allows \['zero', 'one', 'two', '0..2'\]"),
    ({**MODEL, "threshold": 0}, "threshold is 0; more than 0 and at most 1 are allowed"),
    ({**MODEL, "threshold": float("nan")}, "threshold is nan; more than 0"),
    ({**MODEL, "tile": True}, "tile or overlap was given; model 'seeing' allows neither, with method 'cam'"),
    ({**MODEL, "output": "svg"}, "output is 'svg'; model 'seeing' allows"),
    (
        {"model": "colours", "method": "cam"},
        "method is 'cam'; it is for classifiers with .*, and model 'colours' is a segmenter: name such",
    ),
    ({"model": "colours", "label": "red"}, "label was given; it is allowed with method 'cam' only"),
    ({"model": "colours", "threshold": 0.5}, "threshold was given; it is allowed with method 'cam' only"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
async def test_what_is_not_allowed_is_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as segment:
        with pytest.raises(InvalidArgument, match=words):
            await answer(segment.endpoints[0], image=file(picture(9, 9)), **fields)
