"""Fills a search index with the images in files, embedded by the engine batch by batch."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.deadline import Deadline
from service.engine import Engine, Model
from service.errors import InvalidArgument, LectoriumError
from service.imaging import examine
from service.indexes import Item, Store, add, checked_item_name
from service.package import Preprocessing
from service.package.files import read
from service.tasks.caller import Caller
from service.tasks.feature_vectors import feature_vectors
from service.tasks.image_decoding import ImageDecoder
from service.tasks.search import seen

BATCH = 32
WRITE_S = 60.0  # how long a batch waits for other writers
_BATCH_S = 600.0


class Named(NamedTuple):
    """A file, and its item's name: the path inside the folder that was given, with slashes."""

    name: str
    path: Path


class Skipped(NamedTuple):
    """A file that is not in the index, and why."""

    name: str
    why: str


class Seen(NamedTuple):
    """A file's image as the graph's input, (1, H, W) or (1, H, W, 3), and its thumbnail."""

    name: str
    rows: NDArray[np.uint8]
    thumbnail: bytes | None


class Progress(NamedTuple):
    """How many items a batch added, and which of its files it skipped."""

    added: int
    skipped: list[Skipped]


def files_in(paths: Sequence[Path], most: int) -> list[Named]:
    """The files at these paths and in these folders, in the order of their names; links to folders are not followed.

    Raises:
        InvalidArgument: there are more than ``most``, or two would have the same name.
    """
    found: dict[str, Path] = {}
    for named in _walked(paths):
        if found.setdefault(named.name, named.path) != named.path:
            raise InvalidArgument(f"{named.path} and {found[named.name]} would both be item {named.name!r}")
        if len(found) > most:
            raise InvalidArgument(f"there are more than {most} files, the most items of this index")
    return [Named(name, path) for name, path in sorted(found.items())]


class IndexBuilder:
    """Adds the images in files to one index.

    Args:
        engine: serves the model.
        model: the one of the index.
        store: the index.
        config: has the limits of an image.
    """

    def __init__(self, engine: Engine, model: Model, store: Store, config: Config) -> None:
        self._engine = engine
        self._model = model
        self._store = store
        self._config = config
        self._decode = ImageDecoder(config)

    async def add(self, files: Sequence[Named]) -> Progress:
        """Add a batch of images in one transaction; files that cannot be, are skipped.

        Raises:
            InvalidIndex, IndexBusy: as `service.indexes.add`.
            InternalError: the model failed.
        """
        caller = Caller(deadline=Deadline.after(_BATCH_S))
        work = [partial(self._seen, file, self._model.package.classifier.preprocessing) for file in files]
        found = await self._decode.each(work, caller=caller)
        images = [each for each in found if isinstance(each, Seen)]
        if images:
            rows = [image.rows for image in images]
            vectors, _ = await feature_vectors(self._engine, self._model, rows, caller.deadline)
            items = [Item(image.name, vectors[i], image.thumbnail) for i, image in enumerate(images)]
            add(self._store, items, WRITE_S)
        return Progress(len(images), [each for each in found if isinstance(each, Skipped)])

    def _seen(self, file: Named, preprocessing: Preprocessing) -> Seen | Skipped:
        try:
            name = checked_item_name(file.name)
            data = read(file.path, self._config.max_request_bytes)
            image = examine(data, self._config.max_image_pixels)
            return Seen(name, *seen(image, preprocessing, self._store.description.thumbnail))
        except (LectoriumError, OSError) as error:
            return Skipped(file.name, str(error))


def _walked(paths: Sequence[Path]) -> Iterator[Named]:
    for path in paths:
        if not path.is_dir():
            yield Named(path.name, path)
            continue
        for parent, _, names in os.walk(path):
            for each in (Path(parent, name) for name in names):
                yield Named(each.relative_to(path).as_posix(), each)
