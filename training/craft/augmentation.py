"""Random distortions of a batch of images (I2DL VIII.1; elastic: Simard et al. 2003, by kornia), on their device.

Masks move with their images: the same draw, and each pixel has the class of the nearest one.
"""

import math
from typing import Annotated, Any

import torch
from kornia.augmentation import AugmentationSequential, RandomCrop, RandomElasticTransform, RandomErasing
from kornia.constants import DataKey, Resample
from pydantic import AfterValidator, Field
from torch import Tensor

from training.craft.geometry import Affine, Outside, flip, move, move_masks
from training.craft.light import change_light
from training.craft.table import Fraction, NonNegative, Table, Whole
from training.errors import RecipeError

# The width, in pixels, of the Gaussian that makes a field of draws smooth.
SMOOTHNESS = 4.0
KERNEL = 15

Factor = Annotated[float, Field(ge=0.1, le=10)]


def _rising(zoom: tuple[float, float]) -> tuple[float, float]:
    if zoom[0] > zoom[1]:
        raise ValueError(f"zoom is {list(zoom)}; its first number is the least, its second the most")
    return zoom


class Augmentation(Table):
    """Random distortions of each training image; 0 turns one off.

    ``shift``, ``elastic`` and ``crop`` are in pixels, ``rotation`` and ``shear`` in degrees; ``scale``, ``brightness``
    and ``contrast`` are fractions. Each is the largest value of a uniform draw, except ``elastic``, the deviation of a
    smooth displacement field. A crop moves by whole pixels, a shift by fractions. Brightness is added; contrast
    multiplies. ``flip`` (left to right) and ``erase`` (a rectangle of 2 to 33 % of the image, to black) are
    probabilities.

    ``zoom`` is the least and the most by which an image is enlarged, drawn so that half is as likely as double; the
    image is also moved, so that an enlarged one fills its frame and a reduced one stays inside it. ``stretch`` is the
    most by which the ratio of width to height changes, as a fraction. ``saturation`` is the most by which colours move
    to or from grey, ``tint`` by which each channel is multiplied more or less, and ``gamma`` the largest logarithm of
    the power that values are raised to.
    """

    shift: NonNegative = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    scale: Fraction = 0.0
    zoom: Annotated[tuple[Factor, Factor], AfterValidator(_rising)] = (1.0, 1.0)
    stretch: Fraction = 0.0
    elastic: NonNegative = 0.0
    flip: Fraction = 0.0
    crop: Whole = 0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    tint: Fraction = 0.0
    gamma: Fraction = 0.0
    erase: Fraction = 0.0

    @property
    def affine(self) -> Affine | None:
        """Its affine part; None if it has none."""
        most = Affine(self.rotation, self.shear, self.shift, self.scale, self.zoom, self.stretch)
        return None if most == STILL else most


STILL = Affine(rotation=0, shear=0, shift=0, scale=0, zoom=(1, 1), stretch=0)


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
    return _augment(images, None, how, seed, "zeros", 0)[0]


def augment_masked(images: Tensor, masks: Tensor, how: Augmentation, seed: int, outside: int) -> tuple[Tensor, Tensor]:
    """As `augment`, with the ``masks`` (B, H, W) of whole numbers moved as their images are.

    Pixels from outside an image continue its edge, and are ``outside`` in its mask, as erased ones are. ``how`` must
    have no ``crop``, which kornia cannot do to a mask; a ``shift`` moves both.
    """
    assert not how.crop
    images, moved = _augment(images, masks, how, seed, "border", outside)
    assert moved is not None
    return images, moved


def _augment(
    images: Tensor, masks: Tensor | None, how: Augmentation, seed: int, edge: Outside, outside: int
) -> tuple[Tensor, Tensor | None]:
    height, width = images.shape[2:]
    with torch.random.fork_rng(enabled=how != Augmentation()):
        if how != Augmentation():
            torch.manual_seed(seed)
        if most := how.affine:
            grid = most.grid(len(images), height, width).to(images.device)
            images = move(images, grid, edge)
            masks = None if masks is None else move_masks(masks, grid, outside)
        if how.flip:
            images, masks = flip(images, how.flip, masks)
        if how.elastic:
            images, masks = _by_kornia(_elastic(how.elastic, height, width, edge), images, masks, outside)
        if how.crop:
            crop = RandomCrop((height, width), padding=how.crop, p=1.0)
            images, masks = _by_kornia(crop, images, masks, outside)
        images = change_light(
            images,
            brightness=how.brightness,
            contrast=how.contrast,
            saturation=how.saturation,
            tint=how.tint,
            gamma=how.gamma,
        )
        if how.erase:
            images, masks = _by_kornia(RandomErasing(p=how.erase), images, masks, outside)
    return images, masks


def _elastic(deviation: float, height: int, width: int, edge: Outside) -> RandomElasticTransform:
    pixels = deviation * math.sqrt(3) / _remaining()
    # kornia's displacements are along x and y in half the image's sides.
    alpha = (2 * pixels / width, 2 * pixels / height)
    return RandomElasticTransform((KERNEL, KERNEL), (SMOOTHNESS, SMOOTHNESS), alpha, padding_mode=edge, p=1.0)


def _by_kornia(distortion: Any, images: Tensor, masks: Tensor | None, outside: int) -> tuple[Tensor, Tensor | None]:
    if masks is None:
        distorted: Tensor = AugmentationSequential(distortion, data_keys=["input"])(images)
        return distorted, None
    both = AugmentationSequential(distortion, data_keys=["input", "mask"], extra_args=FOR_MASKS)
    # What kornia fills with 0 is outside.
    distorted, shifted = both(images, masks.unsqueeze(1).to(images.dtype) - outside)
    return distorted, (shifted.squeeze(1).round() + outside).to(masks.dtype)


FOR_MASKS = {DataKey.MASK: {"resample": Resample.NEAREST, "align_corners": False, "padding_mode": "zeros"}}


def _remaining() -> float:
    """The deviation of a mean over the Gaussian window, as a share of that of the draws (uniform: 1 / sqrt 3)."""
    window = [math.exp(-((i - KERNEL // 2) ** 2) / (2 * SMOOTHNESS**2)) for i in range(KERNEL)]
    return sum(weight**2 for weight in window) / sum(window) ** 2
