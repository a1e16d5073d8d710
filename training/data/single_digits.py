"""Scenes of one MNIST digit and clutter, as images by class: to learn what is in a picture, and see where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from training.data.drawn_scenes import DrawnScenes
from training.data.scenes import Scenes
from training.data.source import Part
from training.data.split import Bytes, Split

COUNTS: Mapping[Part, int] = {"training": 20_000, "validation": 1_000, "test": 2_000}
_ONE_DIGIT = (1,)  # of the frequencies of scenes with one digit, two and so on


@dataclass(frozen=True)
class SingleDigits(DrawnScenes[Split]):
    """A `Source` of scenes with one digit each."""

    name: ClassVar[str] = "single-digits"
    title: ClassVar[str] = "Scenes of single digits"

    @property
    def labels(self) -> tuple[str, ...]:
        """The digits."""
        return self.digits.labels

    def scenes(self, part: Part) -> Scenes:
        """The scenes of ``part``, which also know where the digit is; each is drawn when it is indexed."""
        return Scenes(self.digits_of(part), f"{part} single {self.seed}", self.counts[part], _ONE_DIGIT)

    def split(self, scenes: Scenes, images: Bytes) -> Split:
        """See `DrawnScenes`."""
        labels = np.empty(len(scenes), np.int64)
        for row, scene in enumerate(scenes):
            images[row], labels[row] = scene.image, scene.digits[0]
        return Split(images, labels)
