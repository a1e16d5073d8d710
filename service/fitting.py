"""Brings an image to the size of a graph's input, and a mask of that size back to the image's."""

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
    """The rectangle of the graph's input that an image fills, in pixels; what is around it is padding."""

    left: int
    top: int
    width: int
    height: int

    def rows(self, height: int) -> NDArray[np.intp]:
        """For each row of an image of this height, the row of the graph's input nearest to it, (height,)."""
        return self.top + _nearest(height, self.height)

    def columns(self, width: int) -> NDArray[np.intp]:
        """For each column of an image of this width, the column of the graph's input nearest to it, (width,)."""
        return self.left + _nearest(width, self.width)

    def taken_back(self, mask: NDArray[T], height: int, width: int) -> NDArray[T]:
        """A ``mask`` of the graph's size, (H, W), at the size of the image; the padding is cut off."""
        if (height, width) == mask.shape:
            return mask
        # First along the few rows of the mask, then row by row: several times as quick as both at once.
        return mask.take(self.columns(width), axis=1).take(self.rows(height), axis=0)


def placement(width: int, height: int, preprocessing: Preprocessing) -> Placement:
    """The place of an image of this size in the graph's input, if it is stretched or padded.

    The centre of what is cropped has no such place, and of the image only a part.
    """
    whole = (preprocessing.width, preprocessing.height)
    if preprocessing.fit != "pad":
        return Placement(0, 0, *whole)
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


def _nearest(size: int, places: int) -> NDArray[Any]:
    """For the centre of each of ``size`` equal parts of a line, in which of ``places`` equal parts it is, (size,)."""
    return (2 * np.arange(size) + 1) * places // (2 * size)
