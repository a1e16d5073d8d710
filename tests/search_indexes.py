"""An index of the images that `example` makes, as `vectors` embeds them."""

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from service.indexes import Description, Item, Store, add, complete, mean
from service.package import CARD
from tests.embedding_packages import DIMENSION, vectors
from tests.packages import example

COUNT = 12


def write_index(folder: Path, repository: Path, name: str = "some", **changes: Any) -> Path:
    """The index `name` in ``folder``, of items ``seed 0`` to ``seed 11``, with thumbnails; returns its folder."""
    card = json.loads((repository / "vectors/1" / CARD).read_text())
    fields = {
        "name": name,
        "model": "vectors",
        "version": "1",
        "sha256": card["files"]["model.onnx"],
        "metric": "euclidean",
        "dimension": DIMENSION,
        "max_items": 1000,
        "thumbnail": 4,
    }
    store = Store.create(folder / name, Description.model_validate(fields | changes))
    if store.description.dimension == DIMENSION:
        add(store, [Item(f"seed {seed}", vectors(example(1, seed))[0], thumbnail(seed)) for seed in range(COUNT)], 1)
    complete(store, mean(store) if store.description.metric == "hamming" else None, 1)
    store.close()
    return folder / name


def thumbnail(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(example(1, seed)[0]).save(buffer, "PNG")
    return buffer.getvalue()


def indexes_of(repository: Path) -> Path:
    """The folder of indexes beside a repository."""
    return repository.with_name(f"{repository.name}-indexes")
