from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import MaskSplit
from training.data.masks import IGNORE
from training.pages.masks import BETWEEN, draw

PALETTE = ("#000000", "#ff0000", "#00ff00")


def test_the_best_and_the_worst_masks_are_drawn_beside_their_images(tmp_path: Path) -> None:
    masks = np.zeros((3, 8, 10), np.uint8)
    masks[:, :4] = 1
    masks[2, 7] = IGNORE
    predicted = np.zeros_like(masks)
    predicted[1], predicted[2, :4] = 2, 1
    predicted[0, :4, :5] = 1
    images = np.full((3, 8, 10), 200, np.uint8)
    scores = draw(MaskSplit(images, masks), predicted, PALETTE, tmp_path / "masks.png", count=1)
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
