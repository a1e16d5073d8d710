"""Brings an image to the size of a graph's input, and a mask of that size back to the image's."""

from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.package import Preprocessing

_INTERPOLATION = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

T = TypeVar("T", bound=np.generic)


class Placement(NamedTuple):
    """The rectangle of the graph's input that an image fills, in pixels or, for a crop, in equal ``parts`` of them.

    What is around it is padding; what of the rectangle is outside of the input was cropped away.
    """

    left: int
    top: int
    width: int
    height: int
    parts: int = 1

    def rows(self, height: int) -> NDArray[np.intp]:
        """For each row of an image of this height, the row of the graph's input nearest to it, (height,).

        Rows that were cropped away have rows before or after the input's.
        """
        return self._nearest(height, self.top, self.height)

    def columns(self, width: int) -> NDArray[np.intp]:
        """For each column of an image of this width, the column of the graph's input nearest to it, (width,)."""
        return self._nearest(width, self.left, self.width)

    def taken_back(self, mask: NDArray[T], height: int, width: int) -> NDArray[T]:
        """A ``mask`` of the graph's size, (H, W), at the size of the image; the padding is cut off.

        Pixels that were cropped away are 0.
        """
        if (height, width) == mask.shape:
            return mask
        rows, columns = self.rows(height), self.columns(width)
        # First along the few rows of the mask, then row by row: several times as quick as both at once.
        found = mask.take(columns, axis=1, mode="clip").take(rows, axis=0, mode="clip")
        for line, places, size in ((found, rows, mask.shape[0]), (found.T, columns, mask.shape[1])):
            if places[0] < 0 or places[-1] >= size:
                line[(places < 0) | (places >= size)] = 0
        return found

    def _nearest(self, size: int, start: int, length: int) -> NDArray[Any]:
        """For the centre of each of ``size`` equal parts of a line along the input, in which pixel it is, (size,)."""
        return (2 * size * start + (2 * np.arange(size) + 1) * length) // (2 * size * self.parts)


def placement(width: int, height: int, preprocessing: Preprocessing) -> Placement:
    """The place of an image of this size in the graph's input."""
    whole = (preprocessing.width, preprocessing.height)
    if preprocessing.fit == "stretch":
        return Placement(0, 0, *whole)
    if preprocessing.fit == "crop":
        # Enlarged by times / over, as much as one side needs; the other sticks out on both ends.
        times, over = max((whole[0], width), (whole[1], height), key=lambda scale: Fraction(*scale))
        left, top = whole[0] * over - width * times, whole[1] * over - height * times
        return Placement(left, top, 2 * width * times, 2 * height * times, 2 * over)
    scale = min(whole[0] / width, whole[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Placement((whole[0] - inner[0]) // 2, (whole[1] - inner[1]) // 2, *inner)


def fitted(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The image, grey or RGB, at the size of the graph's input."""
    size, method = (preprocessing.width, preprocessing.height), _INTERPOLATION[preprocessing.interpolation]
    if preprocessing.fit == "crop":
        return ImageOps.fit(image, size, method)
    place = placement(image.width, image.height, preprocessing)
    inner = image.resize((place.width, place.height), method)
    if preprocessing.fit == "stretch":
        return inner
    # `ImageOps.pad` would fail for an image much longer than wide.
    background = preprocessing.background
    padded = Image.new(image.mode, size, background if image.mode == "L" else (background,) * 3)
    padded.paste(inner, (place.left, place.top))
    return padded
