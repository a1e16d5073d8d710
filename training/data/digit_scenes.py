"""The data set of digit scenes: drawn from MNIST, not read from files of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from service.package import Preprocessing
from training.data.captions import CaptionSplit
from training.data.preparation import room
from training.data.scene_grammar import SIDE
from training.data.scenes import Scenes
from training.data.source import Shape, Source, preprocessing
from training.data.split import Bytes

Part = Literal["training", "validation", "test"]
EVERY = 11  # one in so many of MNIST's training digits is for validation scenes only
COUNTS: Mapping[Part, int] = {"training": 40_000, "validation": 1_000, "test": 2_000}


@dataclass(frozen=True)
class DigitScenes:
    """A `CaptionSource` of scenes of ``digits``, a `Source` of grey images of one digit each.

    Test scenes use its test images, training scenes ten in eleven of its training images, and validation scenes the
    others. The captions name left and right, so images must not be mirrored. ``counts`` is the number of scenes in each
    part; a larger count adds scenes and leaves the earlier ones unchanged.
    """

    digits: Source
    mean: tuple[float, ...]
    std: tuple[float, ...]
    counts: Mapping[Part, int]
    seed: int = 0

    name: ClassVar[str] = "digit-scenes"
    title: ClassVar[str] = "Digit scenes"
    shape: ClassVar[Shape] = (1, SIDE, SIDE)
    mirrored: ClassVar[bool] = False
    shareable: ClassVar[bool] = True

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
        if part == "test":
            digits = self.digits.test()
        else:
            digits = self.digits.training()
            rows = np.arange(len(digits))
            digits = digits[rows[(rows % EVERY == 0) == (part == "validation")]]
        return Scenes(digits, f"{part} {self.seed}", self.counts[part])

    def looks(self, part: Part, grid: tuple[int, int], words: int) -> Bytes:
        """Where to look for each word: (N, words, h * w), the share of each cell of the ``grid`` in 255ths.

        The rows of a word that names no place, and of words beyond the caption's end, are zeros.
        """
        found = np.zeros((self.counts[part], words, grid[0] * grid[1]), np.uint8)
        for row, scene in zip(found, self.scenes(part), strict=True):
            for cells, places in zip(row, scene.looks, strict=False):
                if places:
                    cells[:] = np.rint(255 * scene.cover(places, *grid)).reshape(-1)
        return found

    def training(self) -> CaptionSplit:
        """The training scenes."""
        return self._split("training")

    def validation(self) -> CaptionSplit:
        """The validation scenes."""
        return self._split("validation")

    def test(self) -> CaptionSplit:
        """The test scenes, for `evaluate`."""
        return self._split("test")

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Fits an image onto a black background, like that of the scenes."""
        return preprocessing(self.shape, tensor, "pad")

    def _split(self, part: Part) -> CaptionSplit:
        scenes = self.scenes(part)
        images = room(len(scenes), self.preprocessing("image"), self.title)
        captions = []
        for image, scene in zip(images, scenes, strict=True):
            image[:] = scene.image
            captions.append((scene.caption,))
        return CaptionSplit(images, tuple(captions))
