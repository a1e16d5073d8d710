"""Random distortions of a batch of images (I2DL VIII.1; elastic: Simard et al. 2003), by kornia, on their device."""

import math
from typing import Annotated, Any

import torch
from kornia.augmentation import (
    AugmentationSequential,
    ColorJiggle,
    RandomAffine,
    RandomCrop,
    RandomElasticTransform,
    RandomErasing,
    RandomHorizontalFlip,
)
from pydantic import Field
from torch import Tensor

from training.craft.table import Fraction, NonNegative, Table, Whole
from training.errors import RecipeError

# The width, in pixels, of the Gaussian that makes a field of draws smooth.
SMOOTHNESS = 4.0
KERNEL = 15


class Augmentation(Table):
    """Random distortions of each training image; 0 turns one off.

    ``shift``, ``elastic`` and ``crop`` are in pixels, ``rotation`` and ``shear`` in degrees; ``scale``, ``brightness``
    and ``contrast`` are fractions. Each is the largest value of a uniform draw, except ``elastic``, the deviation of a
    smooth displacement field. A crop moves by whole pixels, a shift by fractions. Brightness is added; contrast
    multiplies. ``flip`` (left to right) and ``erase`` (a rectangle of 2 to 33 % of the image, to black) are
    probabilities.
    """

    shift: NonNegative = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    scale: Fraction = 0.0
    elastic: NonNegative = 0.0
    flip: Fraction = 0.0
    crop: Whole = 0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    erase: Fraction = 0.0


def check_augmentation(how: Augmentation, name: str, height: int, width: int) -> None:
    """Raise RecipeError if the recipe ``name`` moves images of that size by more than their shorter side."""
    side = min(height, width)
    for key in ("shift", "elastic", "crop"):
        if (pixels := getattr(how, key)) > side:
            raise RecipeError(
                f"recipe {name!r}: augmentation.{key} is {pixels:g}; images of {height}x{width} allow at most {side}"
            )


def augment(images: Tensor, how: Augmentation, seed: int) -> Tensor:
    """The ``images`` (B, C, H, W), in 0..1, each distorted by its own draw; pixels from outside are 0.

    All randomness comes from ``seed``; the process's generators are left as they were.
    """
    distortions = _distortions(how, *images.shape[2:])
    if not distortions:
        return images
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        distorted: Tensor = AugmentationSequential(*distortions, data_keys=["input"])(images)
    return distorted


def _distortions(how: Augmentation, height: int, width: int) -> list[Any]:
    every: list[Any] = []
    if how.rotation or how.shift or how.shear or how.scale:
        translate = (how.shift / width, how.shift / height)
        every.append(RandomAffine(how.rotation, translate, (1 - how.scale, 1 + how.scale), how.shear, p=1.0))
    if how.elastic:
        pixels = how.elastic * math.sqrt(3) / _remaining()
        # kornia's displacements are along x and y in half the image's sides.
        alpha = (2 * pixels / width, 2 * pixels / height)
        every.append(RandomElasticTransform((KERNEL, KERNEL), (SMOOTHNESS, SMOOTHNESS), alpha, p=1.0))
    if how.flip:
        every.append(RandomHorizontalFlip(p=how.flip))
    if how.crop:
        every.append(RandomCrop((height, width), padding=how.crop, p=1.0))
    if how.brightness or how.contrast:
        every.append(ColorJiggle(how.brightness, how.contrast, p=1.0))
    if how.erase:
        every.append(RandomErasing(p=how.erase))
    return every


def _remaining() -> float:
    """The deviation of a mean over the Gaussian window, as a share of that of the draws (uniform: 1 / sqrt 3)."""
    window = [math.exp(-((i - KERNEL // 2) ** 2) / (2 * SMOOTHNESS**2)) for i in range(KERNEL)]
    return sum(weight**2 for weight in window) / sum(window) ** 2
