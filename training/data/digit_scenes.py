"""Digit scenes with captions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from training.data.captions import CaptionSplit
from training.data.drawn_scenes import DrawnScenes
from training.data.scenes import Scenes
from training.data.source import Part
from training.data.split import Bytes

COUNTS: Mapping[Part, int] = {"training": 40_000, "validation": 1_000, "test": 2_000}


@dataclass(frozen=True)
class DigitScenes(DrawnScenes[CaptionSplit]):
    """A `CaptionSource` of scenes. The captions name left and right, so images must not be mirrored."""

    name: ClassVar[str] = "digit-scenes"
    title: ClassVar[str] = "Digit scenes"
    mirrored: ClassVar[bool] = False
    shareable: ClassVar[bool] = True

    def split(self, scenes: Scenes, images: Bytes) -> CaptionSplit:
        """See `DrawnScenes`."""
        captions = []
        for image, scene in zip(images, scenes, strict=True):
            image[:] = scene.image
            captions.append((scene.caption,))
        return CaptionSplit(images, tuple(captions))

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
