from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from training.data import MaskSource, MaskSplit
from training.data.masks import IGNORE
from training.pages.masks import BETWEEN, draw


class Drawn:
    """What a page needs to know about a data set."""

    palette = ("#000000", "#ff0000", "#00ff00")

    def __init__(self, shareable: bool) -> None:
        self.shareable = shareable


def test_the_best_and_the_worst_masks_are_drawn_beside_their_images(tmp_path: Path) -> None:
    masks = np.zeros((3, 8, 10), np.uint8)
    masks[:, :4] = 1
    masks[2, 7] = IGNORE
    predicted = np.zeros_like(masks)
    predicted[1], predicted[2, :4] = 2, 1
    predicted[0, :4, :5] = 1
    images = np.full((3, 8, 10), 200, np.uint8)
    source = cast(MaskSource, Drawn(shareable=True))
    scores = draw(MaskSplit(images, masks), predicted, source, tmp_path / "masks.png", count=1)
    assert scores == pytest.approx([1, 0])
    with Image.open(tmp_path / "masks.png") as picture:
        assert picture.size == (3 * 10 + 2 * BETWEEN, 2 * 8 + BETWEEN)
        pixels = np.asarray(picture.convert("RGB"))
    truth, answer = 10 + BETWEEN, 2 * (10 + BETWEEN)
    assert pixels[0, 0].tolist() == [200] * 3
    assert pixels[0, truth].tolist() == pixels[0, answer].tolist() == [255, 0, 0]
    assert pixels[7, truth].tolist() == [0, 0, 0]
    assert pixels[8 + BETWEEN, answer].tolist() == [0, 255, 0]
    assert pixels[8, 0].tolist() == [255] * 3


def test_images_that_may_not_be_redistributed_are_not_drawn(tmp_path: Path) -> None:
    masks = np.ones((1, 8, 10), np.uint8)
    images = np.full((1, 8, 10), 200, np.uint8)
    source = cast(MaskSource, Drawn(shareable=False))
    draw(MaskSplit(images, masks), masks + 1, source, tmp_path / "masks.png", count=1)
    with Image.open(tmp_path / "masks.png") as picture:
        assert picture.size == (2 * 10 + BETWEEN, 2 * 8 + BETWEEN)
        pixels = np.asarray(picture.convert("RGB"))
    colours = {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()}
    assert colours == {(255, 0, 0), (0, 255, 0), (255, 255, 255)}
