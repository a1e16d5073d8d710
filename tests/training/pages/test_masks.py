from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from training.data.masks import IGNORE
from training.pages.masks import coloured, draw, ranked

LABELS, PALETTE = ("left", "right"), ("#ff0000", "#0000ff")


def masks() -> tuple[Any, Any]:
    """Eleven masks of two halves, and predictions of which number n misses n columns of the right half."""
    true = np.zeros((11, 8, 24), np.uint8)
    true[:, :, 12:] = 1
    predicted = true.copy()
    for number, mask in enumerate(predicted):
        mask[:, 12 : 12 + number] = 0
    return true, predicted


def test_images_are_ranked_from_the_best_to_the_worst() -> None:
    found = ranked(*masks(), classes=2)
    assert [number for number, _ in found] == [0, 2, 5, 8, 10]
    assert found[0][1] == 1.0
    assert found == sorted(found, key=lambda each: -each[1])


def test_a_pixel_has_its_class_s_colour_and_none_is_black() -> None:
    picture = coloured(np.array([[0, 1, IGNORE]], np.uint8), PALETTE)
    assert picture.tolist() == [[[255, 0, 0], [0, 0, 255], [0, 0, 0]]]


def test_images_that_may_not_be_shared_are_not_drawn(tmp_path: Path) -> None:
    true, predicted = masks()
    images = np.full((*true.shape, 3), (0, 255, 0), np.uint8)
    green = {}
    for shareable in (True, False):
        source: Any = SimpleNamespace(labels=LABELS, palette=PALETTE, shareable=shareable)
        draw(source, images, true, predicted, "title", tmp_path / "picture.png")
        with Image.open(tmp_path / "picture.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        green[shareable] = bool((pixels == (0, 255, 0)).all(2).any())
    assert green == {True: True, False: False}
