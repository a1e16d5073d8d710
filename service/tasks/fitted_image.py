"""An image as a graph takes it, and where it came from, so that a mask can be brought back to it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.fitting import Placement, placement
from service.imaging import ImageFile, decode_file, flatten, prepare
from service.masks.cells import Cells
from service.package import Preprocessing


class FittedImage(NamedTuple):
    """An image that was brought to the size of a graph's input, or is whole, to be cut into tiles.

    Attributes:
        rows: the one row for the graph, (1, H, W) or (1, H, W, 3) uint8.
        place: what it fills of the graph's input.
        height, width: of the image, upright, in pixels.
    """

    rows: NDArray[np.uint8]
    place: Placement
    height: int
    width: int

    @classmethod
    def of(cls, file: ImageFile, preprocessing: Preprocessing) -> "FittedImage":
        """The image in the file. A large JPEG is decoded smaller, as for any graph.

        Raises:
            InvalidImage, TooLarge: as `decode_file`.
        """
        decoded = decode_file(file, preprocessing)
        place = placement(*decoded.image.size, preprocessing)
        rows = prepare(flatten(decoded.image, preprocessing), preprocessing)[None]
        return cls(rows, place, decoded.height, decoded.width)

    @classmethod
    def whole(cls, file: ImageFile, preprocessing: Preprocessing) -> "FittedImage":
        """The image in the file in the graph's colours, at its own size.

        Raises:
            InvalidImage, TooLarge: as `decode_file`.
        """
        image = flatten(decode_file(file).image, preprocessing)
        return cls(np.asarray(image)[None], Placement(0, 0, *image.size), image.height, image.width)

    @property
    def unchanged(self) -> bool:
        """Whether it has the size of the graph's input, so that its mask needs no way back."""
        return self.rows.shape[1:3] == (self.height, self.width)

    @property
    def pixels(self) -> int:
        """How many pixels the image has."""
        return self.height * self.width

    def cells(self, mask: NDArray[np.uint8]) -> Cells:
        """The same mask as `taken_back`, as few cells: a small file may be an image of many pixels."""
        return Cells.taken(mask, self.place.rows(self.height), self.place.columns(self.width))

    def taken_back(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A mask of the graph's size, (H, W), at the image's size: each pixel from the nearest one of the graph's."""
        return self.place.taken_back(mask, self.height, self.width)

    def counts(self) -> NDArray[np.int64]:
        """How many pixels of the image are taken back from each pixel of the graph, (H, W); 0 for the padding.

        Those that were cropped away are not counted.
        """
        height, width = self.rows.shape[1:3]
        rows, columns = _counts(self.place.rows(self.height), height), _counts(self.place.columns(self.width), width)
        found: NDArray[np.int64] = rows[:, None] * columns
        return found


def _counts(places: NDArray[np.intp], size: int) -> NDArray[np.int64]:
    """How often each of ``size`` places occurs, (size,)."""
    return np.bincount(places[(places >= 0) & (places < size)], minlength=size)
