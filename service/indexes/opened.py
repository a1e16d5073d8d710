"""The indexes of a folder, as one thread reads or writes them."""

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidIndex
from service.indexes.description import checked_index_name
from service.indexes.nearest import Nearest
from service.indexes.store import Store

# Files that stay open; of those that are read, with their vectors in memory.
MAX_OPEN = 16
_ROWS = 1000  # read at once


class Found(NamedTuple):
    """An item near a query, as an answer has it."""

    name: str
    distance: float
    similarity: float
    thumbnail: bytes | None


class Searched(NamedTuple):
    """The nearest items, and how many the index had at that moment."""

    found: list[Found]
    items: int


class Opened:
    """One index. The first search reads its vectors into memory; each later search reads what was written since."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self._nearest: Nearest | None = None
        self._seen = 0

    def search(self, vector: NDArray[np.float32], k: int, *, thumbnails: bool) -> Searched:
        """The ``k`` items nearest to the vector (D,), of all that were written when this began.

        Raises:
            InvalidIndex: the index is damaged or not complete.
            IndexBusy: SQLite could not read it at this moment.
            Unsupported: faiss is not installed.
        """
        with self.store.reading():
            nearest = self._followed()
            found = []
            for id, distance, similarity in nearest.search(vector, k):
                name, thumbnail = self.store.item(id, thumbnail=thumbnails)
                found.append(Found(name, distance, similarity, thumbnail))
            return Searched(found, len(nearest))

    def _followed(self) -> Nearest:
        """The vectors, after all changes that are in the file."""
        state = self.store.summary()
        if not state.complete:
            raise InvalidIndex(
                f"index {self.store.name!r} is not complete: 'lectorium index build' goes on where it was interrupted"
            )
        nearest = self._nearest
        if nearest is None or self._seen < state.forgotten or self._seen > state.change:
            nearest, self._seen = Nearest(self.store.description, self.store.thresholds()), 0
        self._nearest = None  # if following fails halfway, it begins anew
        while self._seen < state.change:
            rows = self.store.rows(self._seen, _ROWS)
            nearest.apply(rows)
            self._seen = rows[-1].change if len(rows) == _ROWS else state.change
        self._nearest = nearest
        return nearest


class Indexes:
    """The indexes of a folder that one thread uses; of those opened, the ones not used for longest are closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: OrderedDict[str, Opened] = OrderedDict()

    def __call__(self, name: str) -> Opened:
        """The index of that name. If its file was replaced, the new one.

        Raises:
            InvalidArgument: no index can have that name.
            UnknownIndex: there is none.
            InvalidIndex: it is damaged, or no index of ours.
        """
        opened = self._opened.pop(checked_index_name(name), None)
        if opened is not None and opened.store.replaced:
            opened.store.close()
            opened = None
        if opened is None:
            opened = Opened(self._folder / name)
        self._opened[name] = opened
        if len(self._opened) > MAX_OPEN:
            self._opened.popitem(last=False)[1].store.close()
        return opened

    def close(self) -> None:
        """Close all files."""
        while self._opened:
            self._opened.popitem()[1].store.close()
