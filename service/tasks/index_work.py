"""The search indexes for the event loop: one thread of the process reads them, another one writes."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.deadline import NEVER
from service.engine import Model
from service.errors import InvalidIndex
from service.indexes import Description, Indexes, Item, Searched, add, remove
from service.tasks.caller import Caller
from service.tasks.feature_vectors import embedding_of
from service.tasks.side_work import SideWork

T = TypeVar("T")

# A writer waits so long for the writers of other processes, or until its request's deadline.
MOST_WAIT_S = 5.0
_SHOWN = 12  # characters of a checksum


class Written(NamedTuple):
    """Whether an item of that name was there, and how many there are now."""

    there: bool
    items: int


class IndexWork:
    """Reads and writes the indexes of ``config.indexes``, within the caller's deadline.

    Raises, in each method:
        InvalidArgument: a name may not be an index's or an item's.
        UnknownIndex: there is no such index.
        InvalidIndex: it is damaged or full, or was not built with the model that is given.
        IndexBusy: others write for too long.
        QueueFull, DeadlineExceeded: as `SideWork.each`.
    """

    def __init__(self, config: Config) -> None:
        self._readers = SideWork(config, "requests wait for search indexes", 1)
        self._read_from = Indexes(config.indexes)
        self._writers = SideWork(config, "changes wait for search indexes", 1)
        self._written_to = Indexes(config.indexes)

    async def description(self, name: str, caller: Caller) -> Description:
        """What the index says of itself."""
        return await _on(self._readers, caller, lambda: self._read_from(name).store.description)

    async def search(
        self, name: str, model: Model, vector: NDArray[np.float32], k: int, thumbnails: bool, caller: Caller
    ) -> tuple[Searched, Description]:
        """The ``k`` items nearest to the vector (D,), which ``model`` gave."""

        def work() -> tuple[Searched, Description]:
            opened = self._read_from(name)
            check_model(opened.store.description, model)
            return opened.search(vector, k, thumbnails=thumbnails), opened.store.description

        return await _on(self._readers, caller, work)

    async def add(self, name: str, model: Model, item: Item, caller: Caller) -> Written:
        """Add an item, whose vector ``model`` gave; it is on the disk when this returns."""

        def work() -> Written:
            opened = self._written_to(name)
            check_model(opened.store.description, model)
            [replaced] = add(opened.store, [item], _wait_s(caller))
            return Written(replaced, opened.store.summary().items)

        return await _on(self._writers, caller, work)

    async def remove(self, name: str, item: str, caller: Caller) -> Written:
        """Remove an item; that is on the disk when this returns."""

        def work() -> Written:
            opened = self._written_to(name)
            [removed] = remove(opened.store, [item], _wait_s(caller))
            return Written(removed, opened.store.summary().items)

        return await _on(self._writers, caller, work)


def check_model(description: Description, model: Model) -> None:
    """Check that the index was built with this model, this version of it, and this graph.

    Raises:
        InvalidIndex: it was not; its vectors and the model's cannot be compared.
    """
    wanted, found = description.sha256, graph_sha256(model)
    if (description.model, description.version) != (model.name, model.version):
        raise InvalidIndex(
            f"index {description.name!r} was built with {description.model}/{description.version}, not with {model}"
        )
    if wanted != found:
        raise InvalidIndex(
            f"index {description.name!r} was built with another graph of {model}: sha256 {wanted[:_SHOWN]}..., and the "
            f"served one is {found[:_SHOWN]}...; build it again"
        )
    dimension = embedding_of(model.package.classifier).dimension
    if description.dimension != dimension:
        raise InvalidIndex(
            f"index {description.name!r} is damaged: its dimension is {description.dimension}, that of {model} "
            f"is {dimension}"
        )


def graph_sha256(model: Model) -> str:
    """The checksum of a classifier's graph file, which its card has."""
    card = model.package.classifier
    return card.files[card.graph.file]


async def _on(side: SideWork, caller: Caller, work: Callable[[], T]) -> T:
    [done] = await side.each([work], caller=caller)
    return done


def _wait_s(caller: Caller) -> float:
    return max(0.0, min(MOST_WAIT_S, (caller.deadline or NEVER).remaining_s))
