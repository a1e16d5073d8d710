"""Scenes of one MNIST digit and clutter, as images by class: to learn what is in a picture, and see where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.package import Preprocessing
from training.data.digit_scenes import EVERY, Part
from training.data.preparation import room
from training.data.scene_grammar import SIDE
from training.data.scenes import Scenes
from training.data.source import Shape, Source, preprocessing
from training.data.split import Split

COUNTS: Mapping[Part, int] = {"training": 20_000, "validation": 1_000, "test": 2_000}
_ONE_DIGIT = (1,)  # of the frequencies of scenes with one digit, two and so on


@dataclass(frozen=True)
class SingleDigits:
    """A `Source` of scenes with one of ``digits``, a `Source` of grey images of one digit each.

    Test scenes use its test images, training scenes ten in eleven of its training images, and validation scenes the
    others. ``counts`` is the number of scenes in each part; a larger count leaves the earlier scenes unchanged.
    """

    digits: Source
    counts: Mapping[Part, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int = 0

    name: ClassVar[str] = "single-digits"
    title: ClassVar[str] = "Scenes of single digits"
    shape: ClassVar[Shape] = (1, SIDE, SIDE)

    @property
    def licence(self) -> str:
        """The licence of the digits."""
        return self.digits.licence

    @property
    def homepage(self) -> str:
        """The homepage of the digits."""
        return self.digits.homepage

    @property
    def files(self) -> Mapping[str, str]:
        """The files of the digits."""
        return self.digits.files

    @property
    def labels(self) -> tuple[str, ...]:
        """The digits."""
        return self.digits.labels

    def scenes(self, part: Part) -> Scenes:
        """The scenes of ``part``, which also know where the digit is; each is drawn when it is indexed."""
        if part == "test":
            digits = self.digits.test()
        else:
            digits = self.digits.training()
            rows = np.arange(len(digits))
            digits = digits[rows[(rows % EVERY == 0) == (part == "validation")]]
        return Scenes(digits, f"{part} single {self.seed}", self.counts[part], _ONE_DIGIT)

    def training(self) -> Split:
        """The training scenes."""
        return self._split("training")

    def validation(self) -> Split:
        """The validation scenes."""
        return self._split("validation")

    def test(self) -> Split:
        """The test scenes, for `evaluate`."""
        return self._split("test")

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Fits an image onto a black background, like that of the scenes."""
        return preprocessing(self.shape, tensor, "pad")

    def _split(self, part: Part) -> Split:
        scenes = self.scenes(part)
        images = room(len(scenes), self.preprocessing("image"), self.title)
        labels = np.empty(len(scenes), np.int64)
        for row, scene in enumerate(scenes):
            images[row], labels[row] = scene.image, scene.digits[0]
        return Split(images, labels)
