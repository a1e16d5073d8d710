from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.segmentation import DiceScore

from training.data import Bytes
from training.data.masks import IGNORE
from training.segmentation.metrics import (
    accuracy,
    boundary_f1,
    class_accuracy,
    confusion,
    dice,
    draw_confusion,
    ious,
    mean_iou,
)

# Of the five pixels with a class: class 0 has three, two of them right; class 1 has two, one right.
MASK = np.array([[[0, 0, 0], [1, 1, IGNORE]]], np.uint8)
GUESS = np.array([[[0, 0, 1], [1, 2, 2]]], np.uint8)


def noise(classes: int, seed: int = 0) -> tuple[Bytes, Bytes]:
    draw = np.random.default_rng(seed)
    masks = draw.integers(0, classes, (6, 20, 24), np.uint8)
    guesses = np.where(draw.random(masks.shape) < 0.6, masks, draw.integers(0, classes, masks.shape)).astype(np.uint8)
    masks[:, :3] = IGNORE
    return masks, guesses


def test_pixels_are_counted_by_true_class_and_given_class() -> None:
    assert confusion(MASK, GUESS, 3).tolist() == [[[2, 1, 0], [0, 1, 1], [0, 0, 0]]]


def test_metrics_are_those_worked_out_by_hand() -> None:
    counts = confusion(MASK, GUESS, 3)
    assert accuracy(counts[0]) == pytest.approx(3 / 5)
    assert class_accuracy(counts[0]) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert ious(counts[0]).tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert mean_iou(counts[0]) == pytest.approx(1 / 3)
    assert dice(counts).tolist() == pytest.approx([(4 / 5 + 2 / 4 + 0) / 3])
    assert dice(counts, background=0).tolist() == pytest.approx([(2 / 4 + 0) / 2])


def test_a_class_that_is_nowhere_does_not_count() -> None:
    counts = confusion(MASK, np.minimum(GUESS, 1), 4)
    assert mean_iou(counts[0]) == pytest.approx((2 / 3 + 2 / 3 * 0 + 2 / 3) / 2)
    assert np.isnan(ious(counts[0])[2:]).all()
    empty = np.zeros((1, 2, 2), np.uint8)
    assert dice(confusion(empty, empty, 2), background=0).tolist() == [1]


def test_metrics_are_those_of_torchmetrics() -> None:
    masks, guesses = noise(5)
    counts = confusion(masks, guesses, 5).sum(0)
    given = torch.from_numpy(guesses.astype(np.int64)), torch.from_numpy(masks.astype(np.int64))
    for ours, theirs in (
        (accuracy, MulticlassAccuracy(5, average="micro", ignore_index=IGNORE)),
        (class_accuracy, MulticlassAccuracy(5, average="macro", ignore_index=IGNORE)),
        (mean_iou, MulticlassJaccardIndex(5, average="macro", ignore_index=IGNORE)),
    ):
        assert ours(counts) == pytest.approx(float(theirs(*given)), abs=1e-6)


def test_the_dice_of_two_classes_is_that_of_torchmetrics() -> None:
    masks, guesses = noise(2)
    masks[masks == IGNORE] = 0
    theirs = DiceScore(
        2, include_background=False, average="macro", aggregation_level="samplewise", input_format="index"
    )
    wanted = theirs(torch.from_numpy(guesses.astype(np.int64)), torch.from_numpy(masks.astype(np.int64)))
    assert dice(confusion(masks, guesses, 2), background=0).mean() == pytest.approx(float(wanted), abs=1e-6)


def squares(offset: int) -> Bytes:
    """A square of class 1 in an image of 120 x 160, whose diagonal is 200 pixels: 1.5 are tolerated."""
    mask = np.zeros((1, 120, 160), np.uint8)
    mask[0, 40:80, 40 + offset : 80 + offset] = 1
    return mask


def test_a_boundary_may_be_off_by_the_tolerance_and_no_more() -> None:
    assert boundary_f1(squares(0), squares(0), 2).tolist() == [1]
    assert boundary_f1(squares(0), squares(1), 2).tolist() == [1]
    # The left and the right sides are five pixels off, the upper and lower ones match but for five pixels.
    off = boundary_f1(squares(0), squares(5), 2)[0]
    assert 0.4 < off < 0.6


def test_a_class_that_only_one_of_the_masks_has_counts_as_missed() -> None:
    alone = np.zeros((1, 120, 160), np.uint8)
    # Class 0 has no boundary in one of them, and class 1 none of it.
    assert boundary_f1(squares(0), alone, 2).tolist() == [0]
    assert boundary_f1(alone, alone, 2).tolist() == [1]


def test_no_boundary_counts_where_the_mask_says_nothing() -> None:
    ignored = squares(0)
    ignored[:, :, :60] = IGNORE
    other = squares(0)
    other[:, 10:20, 10:20] = 1
    assert boundary_f1(ignored, other, 2).tolist() == [1]


def test_the_matrix_is_drawn_with_a_row_for_each_class(tmp_path: Path) -> None:
    draw_confusion(confusion(*noise(4), 4).sum(0), ("sky", "road", "car", "tree"), "A network", tmp_path / "four.png")
    draw_confusion(confusion(*noise(2), 2).sum(0), ("sky", "road"), "A network", tmp_path / "two.png")
    with Image.open(tmp_path / "four.png") as four, Image.open(tmp_path / "two.png") as two:
        assert four.height > two.height
        assert len(set(four.convert("L").tobytes())) > 20
