"""What the data sets of digit scenes have in common: they are drawn from MNIST, not read from files of their own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from service.package import Preprocessing
from training.data.preparation import room
from training.data.scene_grammar import SIDE
from training.data.scenes import Scenes
from training.data.source import Part, Shape, Source, preprocessing
from training.data.split import Bytes, Split

EVERY = 11  # one in so many of MNIST's training digits is for validation scenes only

S = TypeVar("S")


@dataclass(frozen=True)
class DrawnScenes(ABC, Generic[S]):
    """Scenes of ``digits``, a `Source` of grey images of one digit each; a subclass says what a split ``S`` holds.

    Test scenes use its test images, training scenes ten in eleven of its training images, and validation scenes the
    others. ``counts`` is the number of scenes in each part; a larger count adds scenes and leaves the earlier ones
    unchanged.
    """

    digits: Source
    mean: tuple[float, ...]
    std: tuple[float, ...]
    counts: Mapping[Part, int]
    seed: int = 0

    title: ClassVar[str]
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

    def scenes(self, part: Part) -> Scenes:
        """The scenes of ``part``; each is drawn when it is indexed."""
        return Scenes(self.digits_of(part), f"{part} {self.seed}", self.counts[part])

    def digits_of(self, part: Part) -> Split:
        """The digits that the scenes of ``part`` are drawn from."""
        if part == "test":
            return self.digits.test()
        digits = self.digits.training()
        rows = np.arange(len(digits))
        return digits[rows[(rows % EVERY == 0) == (part == "validation")]]

    def training(self) -> S:
        """The training scenes."""
        return self._part("training")

    def validation(self) -> S:
        """The validation scenes."""
        return self._part("validation")

    def test(self) -> S:
        """The test scenes, for `evaluate`."""
        return self._part("test")

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Fits an image onto a black background, like that of the scenes."""
        return preprocessing(self.shape, tensor, "pad")

    def _part(self, part: Part) -> S:
        scenes = self.scenes(part)
        return self.split(scenes, room(len(scenes), self.preprocessing("image"), self.title))

    @abstractmethod
    def split(self, scenes: Scenes, images: Bytes) -> S:
        """The ``scenes`` as a split; ``images`` (N, H, W) is where their images are drawn to."""
