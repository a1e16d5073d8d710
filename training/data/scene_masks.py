"""Digit scenes with the digit that each pixel shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.package import Preprocessing
from training.data.digit_scenes import DigitScenes, Part
from training.data.masks import MaskSplit
from training.data.preparation import room
from training.data.source import Shape


@dataclass(frozen=True)
class SceneMasks:
    """A `MaskSource` of ``scenes``: class 0 is the background, which includes clutter, and class d + 1 the digit d.

    A mirrored digit is not one, so images must not be mirrored.
    """

    scenes: DigitScenes

    name: ClassVar[str] = DigitScenes.name
    title: ClassVar[str] = DigitScenes.title
    shape: ClassVar[Shape] = DigitScenes.shape
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

    @property
    def licence(self) -> str:
        """The licence of the digits."""
        return self.scenes.licence

    @property
    def homepage(self) -> str:
        """The homepage of the digits."""
        return self.scenes.homepage

    @property
    def files(self) -> Mapping[str, str]:
        """The files of the digits."""
        return self.scenes.files

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of the training pixels."""
        return self.scenes.mean

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of the training pixels."""
        return self.scenes.std

    def training(self) -> MaskSplit:
        """The training scenes."""
        return self._split("training")

    def validation(self) -> MaskSplit:
        """The validation scenes."""
        return self._split("validation")

    def test(self) -> MaskSplit:
        """The test scenes, for `evaluate`."""
        return self._split("test")

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Fits an image onto a black background, like that of the scenes."""
        return self.scenes.preprocessing(tensor)

    def _split(self, part: Part) -> MaskSplit:
        scenes = self.scenes.scenes(part)
        images = room(len(scenes), self.preprocessing("image"), self.title)
        masks = np.empty_like(images)
        for image, mask, scene in zip(images, masks, scenes, strict=True):
            image[:], mask[:] = scene.image, scene.mask
        return MaskSplit(images, masks)
