"""The vectors of an index in memory, and the exact search for the nearest: faiss compares with all of them."""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidIndex, Unsupported
from service.indexes.description import Description
from service.indexes.store import Row


class Neighbour(NamedTuple):
    """An item near a query: ``similarity`` is 1 for the same vector, and falls as ``distance`` grows."""

    id: int
    distance: float
    similarity: float


class Nearest:
    """The vectors of the items of one index. One thread at a time may use it.

    Args:
        description: of the index.
        thresholds: (D,) of the bits of ``hamming``; None for other metrics.

    Raises:
        InvalidIndex: the metric has no thresholds and needs them.
        Unsupported: faiss is not installed.
    """

    def __init__(self, description: Description, thresholds: NDArray[np.float32] | None) -> None:
        self._description = description
        self._thresholds = thresholds
        self._ids: set[int] = set()
        faiss, dimension = _faiss(), description.dimension
        if description.metric == "hamming":
            if thresholds is None:
                raise InvalidIndex(f"index {description.name!r} is damaged: it has no thresholds of its bits")
            self._index = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(8 * -(-dimension // 8)))
        elif description.metric == "cosine":
            self._index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
        else:
            self._index = faiss.IndexIDMap(faiss.IndexFlatL2(dimension))

    def __len__(self) -> int:
        return len(self._ids)

    def apply(self, rows: Sequence[Row]) -> None:
        """Follow changes: no two of the rows have the same id.

        Raises:
            InvalidIndex: there are more items than the index may have.
        """
        gone = self._ids.intersection(row.id for row in rows)
        if gone:  # it moves the vectors behind each
            self._index.remove_ids(np.array(sorted(gone), "i8"))
            self._ids -= gone
        new = [(row.id, row.vector) for row in rows if row.vector is not None]
        if len(self._ids) + len(new) > self._description.max_items:
            raise InvalidIndex(
                f"index {self._description.name!r} is damaged: it has more than {self._description.max_items} items"
            )
        if new:
            ids = np.array([id for id, _ in new], "i8")
            self._index.add_with_ids(self._compared(np.stack([vector for _, vector in new])), ids)
            self._ids.update(id for id, _ in new)

    def search(self, vector: NDArray[np.float32], k: int) -> list[Neighbour]:
        """The ``k`` items nearest to the vector (D,), the nearest first; fewer if there are fewer.

        Of items at the same distance, those added first come first, but which of them are the last is not defined.
        """
        k = min(k, len(self))
        if not k:
            return []
        _faiss().omp_set_num_threads(1)  # of this thread: the other cores are the lanes'
        found, ids = self._index.search(self._compared(vector[None]), k)
        metric, bits = self._description.metric, self._description.dimension
        neighbours = []
        for value, id in zip(found[0].tolist(), ids[0].tolist(), strict=True):
            if metric == "cosine":
                cosine = min(1.0, max(-1.0, value))
                neighbours.append(Neighbour(id, 1 - cosine, cosine))
            elif metric == "hamming":
                neighbours.append(Neighbour(id, float(value), 1 - value / bits))
            else:
                distance = max(0.0, value) ** 0.5  # faiss gives its square
                neighbours.append(Neighbour(id, distance, 1 / (1 + distance)))
        return sorted(neighbours, key=lambda each: (each.distance, each.id))

    def _compared(self, vectors: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """What faiss compares, of vectors (N, D): unit vectors, packed bits, or the vectors themselves."""
        if self._thresholds is not None:
            return np.packbits(vectors > self._thresholds, axis=1)
        if self._description.metric == "cosine":
            exact = vectors.astype("f8")
            norms = np.linalg.norm(exact, axis=1, keepdims=True)  # (N, 1)
            return (exact / np.where(norms > 0, norms, 1)).astype("f4")
        return np.ascontiguousarray(vectors, "f4")


def _faiss() -> ModuleType:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise Unsupported("searching needs faiss, which is not installed: pip install 'lectorium[search]'") from error
    module: ModuleType = faiss
    return module
