import math

import numpy as np
import pytest
import torch

from training.data import MaskSplit
from training.data.masks import IGNORE
from training.segmentation.loss import SegmentationLoss, class_weights, loss, soft_dice

PLAIN = torch.ones(2)
# Two pixels of class 0, one of class 1, one of none; logits of a difference of 0 or log 3.
MASKS = torch.tensor([[[0, 0], [1, IGNORE]]])
LOGITS = torch.tensor([[[[0.0, math.log(3)], [0.0, 5.0]], [[0.0, 0.0], [math.log(3), 0.0]]]])


def test_the_cross_entropy_is_the_mean_of_the_pixels_with_a_class() -> None:
    wanted = (math.log(2) + 2 * math.log(4 / 3)) / 3
    assert loss(SegmentationLoss(), LOGITS, MASKS, PLAIN).item() == pytest.approx(wanted)


def test_a_pixel_counts_as_much_as_its_class_weighs() -> None:
    wanted = (math.log(2) + math.log(4 / 3) + 4 * math.log(4 / 3)) / 6
    assert loss(SegmentationLoss(), LOGITS, MASKS, torch.tensor([1.0, 4.0])).item() == pytest.approx(wanted)


def test_the_soft_dice_compares_probabilities_with_the_pixels_of_each_class() -> None:
    # Class 0: probabilities 1/2, 3/4, 1/4 of which the first two are right; class 1: 1/2, 1/4, 3/4.
    wanted = [(2 * 1.25 + 1) / (1.5 + 2 + 1), (2 * 0.75 + 1) / (1.5 + 1 + 1)]
    assert soft_dice(LOGITS, MASKS).tolist() == pytest.approx(wanted)
    measured = loss(SegmentationLoss(name="dice"), LOGITS, MASKS, PLAIN).item()
    assert measured == pytest.approx(1 - sum(wanted) / 2)


def test_the_sum_adds_both() -> None:
    both = [loss(SegmentationLoss(name=name), LOGITS, MASKS, PLAIN) for name in ("cross_entropy", "dice")]
    torch.testing.assert_close(loss(SegmentationLoss(name="sum"), LOGITS, MASKS, PLAIN), sum(both))


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "sum"])
def test_a_pixel_without_a_class_has_no_gradient(name: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    torch.autograd.backward(loss(SegmentationLoss.model_validate({"name": name}), logits, MASKS, PLAIN))
    assert logits.grad is not None
    assert (logits.grad[0, :, 1, 1] == 0).all()
    assert (logits.grad[0, :, 0, 0] != 0).all()


def split() -> MaskSplit:
    """Two images of eight pixels: class 0 has 10, class 1 4, which are in the second image, and 2 have none."""
    masks = np.zeros((2, 2, 4), np.uint8)
    masks[1] = 1
    masks[1, 0, :2] = IGNORE
    masks[1, 1, :2] = 0
    return MaskSplit(np.zeros((2, 2, 4, 3), np.uint8), masks)


def test_weights_by_the_logarithm_weigh_a_pixel_1_on_average() -> None:
    shares = (10 / 14, 4 / 14)
    plain = [1 / math.log(1.1 + share) for share in shares]
    average = sum(weight * share for weight, share in zip(plain, shares, strict=True))
    found = class_weights(SegmentationLoss(class_weights="enet"), split(), 2)
    assert found.tolist() == pytest.approx([weight / average for weight in plain])


def test_weights_by_the_median_compare_a_class_with_the_images_that_show_it() -> None:
    frequencies = (10 / 14, 4 / 6)
    median = sum(frequencies) / 2
    plain = [median / frequency for frequency in frequencies]
    average = plain[0] * 10 / 14 + plain[1] * 4 / 14
    found = class_weights(SegmentationLoss(class_weights="median"), split(), 2)
    assert found.tolist() == pytest.approx([weight / average for weight in plain])


def test_a_class_without_pixels_weighs_1_and_so_does_each_without_weights() -> None:
    assert class_weights(SegmentationLoss(class_weights="enet"), split(), 3)[2] == 1
    assert class_weights(SegmentationLoss(), split(), 3).tolist() == [1, 1, 1]
