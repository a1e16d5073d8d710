"""Losses of segmentation networks: a class for every pixel (I2DL X.8; MP 6)."""

from typing import Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, softmax

from training.craft.table import Fraction, Table
from training.data.masks import IGNORE, MOST_CLASSES, MaskSplit

# ENet's paper has 1.02: a class without pixels then weighs 35 times one with all of them, with 1.1 eight times.
OFFSET = 1.1
SMOOTH = 1.0  # pixels, so that a class that is neither there nor predicted costs nothing


class SegmentationLoss(Table):
    """The loss of a segmentation network; pixels that are `IGNORE` do not count.

    ``cross_entropy`` is the mean over the pixels, ``dice`` 1 minus the mean of the classes' soft Dice (Milletari et al.
    2016, arXiv:1606.04797), and ``sum`` both added. In the cross-entropy a pixel counts as much as its class weighs:
    with ``enet`` 1 / log(1.1 + share of the pixels) (Paszke et al. 2016, arXiv:1606.02147), with ``median`` the median
    frequency over its own, counted in the images that show the class (Eigen and Fergus 2015, arXiv:1411.4734). Weights
    are scaled so that a training pixel weighs 1 on average. ``label_smoothing`` spreads that share of each label evenly
    over all classes.
    """

    name: Literal["cross_entropy", "dice", "sum"] = "cross_entropy"
    class_weights: Literal["none", "enet", "median"] = "none"
    label_smoothing: Fraction = 0.0

    @model_validator(mode="after")
    def _is_of_cross_entropy(self) -> Self:
        if self.name == "dice" and self.class_weights != "none":
            raise ValueError(f"class_weights is {self.class_weights!r}; with the loss dice only 'none' is allowed")
        if self.name == "dice" and self.label_smoothing:
            raise ValueError(f"label_smoothing is {self.label_smoothing:g}; with the loss dice only 0 is allowed")
        return self


def class_weights(how: SegmentationLoss, examples: MaskSplit, classes: int) -> Tensor:
    """The weight of each class (classes,), from its pixels in ``examples``; a class without any has weight 1."""
    if how.class_weights == "none":
        return torch.ones(classes)
    counts = np.stack([np.bincount(mask.reshape(-1), minlength=MOST_CLASSES + 1)[:classes] for mask in examples.masks])
    pixels = counts.sum(0).astype(np.float64)  # (classes,)
    shares = pixels / max(pixels.sum(), 1)
    there = pixels > 0
    weights = np.ones(classes)
    if how.class_weights == "enet":
        weights[there] = 1 / np.log(OFFSET + shares[there])
    else:
        around = (counts.sum(1)[:, None] * (counts > 0)).sum(0)  # (classes,) pixels of the images that show the class
        frequencies = pixels[there] / around[there]
        weights[there] = np.median(frequencies) / frequencies
    weights[there] /= max((weights * shares).sum(), np.finfo(np.float64).tiny)
    return torch.tensor(weights, dtype=torch.float32)


def loss(how: SegmentationLoss, logits: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """The loss of ``logits`` (B, K, H, W) and ``masks`` (B, H, W) int64, in nats for the cross-entropy.

    ``weights`` (K,) are those of the classes.
    """
    logits = logits.float()  # half precision has too few digits for sums
    terms = []
    if how.name != "dice":
        terms.append(cross_entropy(logits, masks, weights, ignore_index=IGNORE, label_smoothing=how.label_smoothing))
    if how.name != "cross_entropy":
        terms.append(1 - soft_dice(logits, masks).mean())
    return torch.stack(terms).sum()


def soft_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Each class's 2 sum p g / (sum p + sum g) over the batch, (K,); p is its probability, g 1 where it is, else 0."""
    counted = (masks != IGNORE).unsqueeze(1)  # (B, 1, H, W)
    probabilities = softmax(logits, 1) * counted
    truth = one_hot(masks.where(counted[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * counted  # (B, K, H, W)
    shared = (probabilities * truth).sum((0, 2, 3))
    both = probabilities.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    return (2 * shared + SMOOTH) / (both + SMOOTH)
