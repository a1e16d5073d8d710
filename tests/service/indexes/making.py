"""Indexes of random vectors."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.indexes import Description, Item, Store, add, complete, mean

DIMENSION = 12  # no whole number of bytes as bits


def description(name: str = "some", **changes: Any) -> Description:
    fields = {
        "name": name,
        "model": "vectors",
        "version": "1",
        "sha256": "0" * 64,
        "metric": "euclidean",
        "dimension": DIMENSION,
        "max_items": 500,
        "thumbnail": 0,
    }
    return Description.model_validate(fields | changes)


def random_vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype("f4")


def items(vectors: NDArray[np.float32], first: int = 0) -> list[Item]:
    return [Item(f"item {first + i}", vector, None) for i, vector in enumerate(vectors)]


def write_index(folder: Path, vectors: NDArray[np.float32], **changes: Any) -> Path:
    """A complete index in ``folder``/some; returns its folder."""
    store = Store.create(folder / "some", description(**changes))
    add(store, items(vectors), 1)
    complete(store, mean(store) if store.description.metric == "hamming" else None, 1)
    store.close()
    return folder / "some"
