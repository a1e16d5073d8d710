"""Cuts an image into tiles that overlap, each of which answers for the pixels that are the farthest from its edges."""

from typing import NamedTuple

# Tiles begin at multiples of this, where five poolings of an image and of its tiles pool the same pixels.
GRID = 32


class Span(NamedTuple):
    """A tile's extent along one axis of the image, in pixels: from ``start`` to before ``stop``.

    It answers for the pixels from ``first`` to before ``last``.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def seen(self) -> slice:
        """The pixels of the image that the tile has."""
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        """The pixels of the image that it answers for."""
        return slice(self.first, self.last)

    @property
    def inner(self) -> slice:
        """The same pixels, counted in the tile."""
        return slice(self.first - self.start, self.last - self.start)


class Tile(NamedTuple):
    """One tile."""

    rows: Span
    columns: Span


def tiles(height: int, width: int, tile: tuple[int, int], overlap: int) -> list[Tile]:
    """The tiles of an image of ``height`` x ``width`` pixels, row by row.

    Each pixel is kept by one tile. Neighbours overlap by at least ``overlap`` pixels, and pixels are kept by the tile
    that has the most of the image around them: at least half of the overlap.

    Args:
        height: of the image.
        width: of the image.
        tile: the height and width of a tile, each more than ``overlap``; the last of a row or column may be smaller.
        overlap: in pixels.
    """
    columns = spans(width, tile[1], overlap)
    return [Tile(down, across) for down in spans(height, tile[0], overlap) for across in columns]


def spans(size: int, tile: int, overlap: int) -> list[Span]:
    """The tiles along one axis of ``size`` pixels; see `tiles`."""
    grid = min(GRID, 1 << ((tile - overlap).bit_length() - 1))
    step = (tile - overlap) // grid * grid
    last = max(0, -(-(size - tile) // grid) * grid)  # the first start of the grid from which a tile reaches the end
    starts = [*range(0, last, step), last]
    stops = [min(start + tile, size) for start in starts]
    joints = [0, *((after + stop) // 2 for after, stop in zip(starts[1:], stops, strict=False)), size]
    return [Span(*each) for each in zip(starts, stops, joints, joints[1:], strict=False)]
