"""The outlines of a mask as polygons, with the corners of its pixels as their corners.

As in GeoJSON (RFC 7946, 3.1.6), a polygon is a list of closed rings, the outer one first and then its holes; the outer
one goes counter-clockwise and the holes clockwise, in coordinates (x, y) whose axes are drawn right and up. In an
image, where y is drawn down, it looks the other way round. The area of the polygons is the number of pixels.
"""

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.masks.components import connected

Ring = list[list[int]]
Polygon = list[Ring]

# They take about a quarter of a second, and a megabyte as JSON.
MOST_CORNERS = 100_000

# The four pixels around a corner of pixels, as bits.
_NW, _NE, _SW, _SE = 1, 2, 4, 8
# Around these, the mask has a corner: one pixel is set, or three; or two that touch only here.
_CORNERS = np.isin(np.arange(16), [code for code in range(16) if code.bit_count() % 2 or code in (6, 9)])
# Two outlines pass where two pixels touch only at their corners.
_CROSSINGS = (_NW | _SE, _NE | _SW)


def outlines(mask: NDArray[np.bool_], most_corners: int = MOST_CORNERS) -> list[Polygon]:
    """A polygon for each part of ``mask``, (H, W), whose pixels are connected by their edges; together a MultiPolygon.

    They are valid in the sense of the simple features of OGC: no ring touches itself. Where a part touches itself at
    a corner, one of its holes touches another of its rings.

    Raises:
        InvalidArgument: they have more than ``most_corners`` corners together.
    """
    codes = _codes(mask)
    at = np.flatnonzero(_CORNERS[codes])
    if len(at) > most_corners:
        raise InvalidArgument(
            f"the outlines of the mask have {len(at)} corners; at most {most_corners} are answered as polygons"
        )
    if not len(at):
        return []
    nodes = _Nodes(codes, at, connected(mask, 4).labels)
    following, parts, x, y = (each.tolist() for each in (nodes.following(), nodes.part, nodes.x, nodes.y))
    found: dict[int, Polygon] = {}
    seen = bytearray(len(following))
    # The first node of a part, in the order of rows, is on its outer ring.
    for first, part in enumerate(parts):
        if seen[first]:
            continue
        ring, node = [], first
        while not seen[node]:
            seen[node] = 1
            ring.append([x[node], y[node]])
            node = following[node]
        found.setdefault(part, []).append([*ring, ring[0].copy()])
    return list(found.values())


def _codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """For each corner of a pixel, which of the four pixels around it are set: (H + 1, W + 1)."""
    padded = np.pad(mask.astype(np.uint8), 1)
    north, south = padded[:-1], padded[1:]
    codes: NDArray[np.uint8] = (
        north[:, :-1] * _NW + north[:, 1:] * _NE + south[:, :-1] * _SW + south[:, 1:] * _SE
    ).astype(np.uint8)
    return codes


class _Nodes:
    """The corners in the order of rows; where two outlines cross there are two nodes.

    Each node joins one horizontal and one vertical edge. The mask is on the right of the edges' direction, as drawn.

    Attributes:
        x, y: where they are.
        east, south: whether their horizontal edge is on their right, and their vertical one below.
        part: the number of the part of the mask whose outline it is.
    """

    def __init__(self, codes: NDArray[np.uint8], at: NDArray[np.int64], parts: NDArray[np.int32]) -> None:
        code = codes.ravel()[at]
        twice = np.isin(code, _CROSSINGS)
        at, code = np.repeat(at, twice + 1), np.repeat(code, twice + 1)
        self.y, self.x = np.divmod(at, codes.shape[1])
        crossing = np.isin(code, _CROSSINGS)
        second = np.zeros(len(at), bool)
        second[1:] = at[1:] == at[:-1]
        nw, ne, sw, se = (code & bit > 0 for bit in (_NW, _NE, _SW, _SE))
        around = np.pad(parts, 1)
        parts_nw, parts_ne, parts_sw, parts_se = (around[self.y + dy, self.x + dx] for dy in (0, 1) for dx in (0, 1))
        # Of two nodes, the first has the edge on the left, which is one of the lower left pixel or the upper left one.
        left, right = np.where(nw, parts_nw, parts_sw), np.where(se, parts_se, parts_ne)
        single = np.maximum.reduce([parts_nw, parts_ne, parts_sw, parts_se])
        self.part = np.where(crossing, np.where(second, right, left), single)
        self.east = np.where(crossing, second, ne != se)
        # Two outlines turn around their own pixels if these are of different parts. Of the same part, they turn from
        # one pixel to the other, or the outline of that part would touch itself.
        self.south = np.where(crossing, (second == se) ^ (left == right), sw != se)
        # A horizontal edge goes right where the mask is below it.
        self._leaves_horizontally = np.where(self.east, se, sw) == self.east

    def following(self) -> NDArray[np.int64]:
        """The node that comes after each in its ring."""
        across = _partners(np.arange(len(self.x)))
        along = _partners(np.lexsort((self.south, self.y, self.x)))
        return np.where(self._leaves_horizontally, across, along)


def _partners(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """The other end of each node's edge: in a row or a column, each two nodes are the ends of one."""
    partner = np.empty_like(ordered)
    partner[ordered[0::2]] = ordered[1::2]
    partner[ordered[1::2]] = ordered[0::2]
    return partner
