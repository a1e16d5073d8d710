"""Digit scenes with the digit that each pixel shows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from training.data.digit_scenes import DigitScenes
from training.data.drawn_scenes import DrawnScenes
from training.data.masks import MaskSplit
from training.data.scenes import Scenes
from training.data.split import Bytes


@dataclass(frozen=True)
class SceneMasks(DrawnScenes[MaskSplit]):
    """A `MaskSource` of the scenes of `DigitScenes`: class 0 is the background, with its clutter, class d + 1 digit d.

    A mirrored digit is not one, so images must not be mirrored.
    """

    name: ClassVar[str] = DigitScenes.name
    title: ClassVar[str] = DigitScenes.title
    shareable: ClassVar[bool] = DigitScenes.shareable
    mirrored: ClassVar[bool] = False
    labels: ClassVar[tuple[str, ...]] = ("background", *"0123456789")
    # Eleven colours that differ in hue or lightness.
    palette: ClassVar[tuple[str, ...]] = (
        "#000000",
        "#e6194b",
        "#3cb44b",
        "#ffe119",
        "#4363d8",
        "#f58231",
        "#911eb4",
        "#46f0f0",
        "#f032e6",
        "#bcf60c",
        "#fabebe",
    )
    background: ClassVar[int | None] = 0
    countable: ClassVar[tuple[int, ...]] = ()  # two digits of a value may touch

    @classmethod
    def of(cls, scenes: DigitScenes) -> "SceneMasks":
        """The masks of ``scenes``."""
        return cls(scenes.digits, scenes.mean, scenes.std, scenes.counts, scenes.seed)

    def split(self, scenes: Scenes, images: Bytes) -> MaskSplit:
        """See `DrawnScenes`."""
        masks = np.empty_like(images)
        for image, mask, scene in zip(images, masks, scenes, strict=True):
            image[:], mask[:] = scene.image, scene.mask
        return MaskSplit(images, masks)
