"""Search: finds the images of an index that are nearest to an image, by a classifier's embedding."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.config import Config
from service.engine import Engine, Model
from service.errors import ControlRefused, InvalidArgument, InvalidIndex, UnknownModel
from service.imaging import ImageFile, decode_file, flatten, take_views
from service.indexes import Item, checked_item_name
from service.package import Card, ClassifyCard, Preprocessing
from service.tasks.caller import Caller
from service.tasks.embed import Embed
from service.tasks.feature_vectors import feature_vectors
from service.tasks.image_decoding import ImageDecoder
from service.tasks.index_work import IndexWork
from service.tasks.png import png
from service.tasks.searching import (
    DEFAULT_K,
    MAX_K,
    MAX_THUMBNAILS,
    FoundItem,
    IndexAsk,
    IndexTiming,
    SearchAddAsk,
    SearchAddition,
    SearchAnswer,
    SearchAsk,
    SearchRemoval,
    SearchRemoveAsk,
)
from service.tasks.task import Endpoint, Task


class Embedded(NamedTuple):
    """An image's feature vector (D,), its thumbnail if one is kept, and how many seconds the stages took."""

    vector: NDArray[np.float32]
    thumbnail: bytes | None
    queue_s: float
    decode_s: float
    compute_s: float


class Search(Task[SearchAsk]):
    """Searches the indexes that were built with a served classifier with an embedding, and changes them."""

    name = "search"
    does = "embed images"
    summary = "The items of an index whose images are nearest to this one."
    card = ClassifyCard
    ask = SearchAsk
    answer = SearchAnswer
    large = True

    def __init__(self, engine: Engine, config: Config, decode: ImageDecoder) -> None:
        super().__init__(engine, config, decode)
        self._indexes = IndexWork(config)

    @classmethod
    def serves(cls, card: Card) -> bool:
        """Whether it is the card of a classifier with an embedding."""
        return Embed.serves(card)

    async def resolve(self, ask: IndexAsk, caller: Caller) -> IndexAsk:
        """The request, with the model and version that the index was built with.

        Raises:
            InvalidArgument: the request names others.
            InvalidIndex: that version of the model is not served.
            LectoriumError: as `IndexWork.description`.
        """
        found = await self._indexes.description(ask.index, caller)
        for field, built_with in (("model", found.model), ("version", found.version)):
            if (given := getattr(ask, field)) not in ("", built_with):
                raise InvalidArgument(f"{field} is {given[:80]!r}; index {found.name!r} was built with {built_with!r}")
        try:
            self.select(found.model, found.version)
        except UnknownModel as error:
            raise InvalidIndex(f"index {found.name!r} was built with {found.model}/{found.version}: {error}") from error
        return ask.model_copy(update={"model": found.model, "version": found.version})

    async def answers(self, model: Model, ask: SearchAsk, caller: Caller) -> AsyncGenerator[BaseModel]:
        """The answer."""
        yield await self.once(model, ask, caller)

    async def once(self, model: Model, ask: SearchAsk, caller: Caller) -> SearchAnswer:
        """The nearest items.

        Raises:
            InvalidArgument: there is no such ``k``.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `ImageDecoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
            LectoriumError: as `IndexWork.search`.
        """
        k, most = DEFAULT_K if ask.k is None else ask.k, MAX_THUMBNAILS if ask.thumbnails else MAX_K
        if not 1 <= k <= most:
            raise InvalidArgument(f"k is {k}; {'with thumbnails ' if ask.thumbnails else ''}1 to {most} are allowed")
        embedded = await self._embedded(model, ask.image, 0, caller)
        began = time.perf_counter()
        searched, index = await self._indexes.search(ask.index, model, embedded.vector, k, ask.thumbnails, caller)
        return SearchAnswer(
            model=model.name,
            version=model.version,
            index=index.name,
            metric=index.metric,
            items=searched.items,
            results=[FoundItem.model_construct(**found._asdict()) for found in searched.found],
            timing=_timing(began, embedded),
        )

    async def add(self, model: Model, ask: SearchAddAsk, caller: Caller) -> SearchAddition:
        """Add an image to the index; the answer comes when it is on the disk.

        Raises:
            ControlRefused: this server does not change indexes on request.
            LectoriumError: as `once`, and `IndexWork.add`.
        """
        self._check_writes()
        checked_item_name(ask.name)
        side = (await self._indexes.description(ask.index, caller)).thumbnail
        embedded = await self._embedded(model, ask.image, side, caller)
        item = Item(ask.name, embedded.vector, embedded.thumbnail)
        began = time.perf_counter()
        written = await self._indexes.add(ask.index, model, item, caller)
        timing = _timing(began, embedded)
        return SearchAddition(**_named(model, ask), replaced=written.there, items=written.items, timing=timing)

    async def remove(self, model: Model, ask: SearchRemoveAsk, caller: Caller) -> SearchRemoval:
        """Remove an item from the index; the answer comes when that is on the disk.

        Raises:
            ControlRefused: this server does not change indexes on request.
            LectoriumError: as `IndexWork.remove`.
        """
        self._check_writes()
        checked_item_name(ask.name)
        began = time.perf_counter()
        written = await self._indexes.remove(ask.index, ask.name, caller)
        timing = _timing(began)
        return SearchRemoval(**_named(model, ask), removed=written.there, items=written.items, timing=timing)

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to request the task; two change the index."""
        (one,) = super().endpoints
        one = one._replace(once=self.once, resolve=self.resolve)
        return [
            one,
            _change(one, "add", "Add an image to an index.", SearchAddAsk, SearchAddition, self.add),
            _change(one, "remove", "Remove an item from an index.", SearchRemoveAsk, SearchRemoval, self.remove),
        ]

    def _check_writes(self) -> None:
        if not self.config.index_writes:
            raise ControlRefused(
                "this server does not change indexes on request; start it with LECTORIUM_INDEX_WRITES=true to allow it"
            )

    async def _embedded(self, model: Model, image: bytes, side: int, caller: Caller) -> Embedded:
        preprocessing = model.package.classifier.preprocessing
        make = partial(seen, preprocessing=preprocessing, side=side)
        began = time.perf_counter()
        rows, thumbnail = await self.decode.one(image, make, preprocessing, caller=caller)
        decode_s = time.perf_counter() - began
        vectors, answer = await feature_vectors(self.engine, model, [rows], caller.deadline)
        return Embedded(vectors[0], thumbnail, answer.queue_s, decode_s, answer.compute_s)


def seen(file: ImageFile, preprocessing: Preprocessing, side: int) -> tuple[NDArray[np.uint8], bytes | None]:
    """The image as the graph's input, (1, H, W) or (1, H, W, 3), and its thumbnail.

    The thumbnail is a PNG file with a longer side of ``side`` pixels, in the colours the model sees; None if it is 0.
    """
    image = flatten(decode_file(file, preprocessing).image, preprocessing)
    rows = take_views(image, preprocessing, "single")
    if not side:
        return rows, None
    small = image.copy()
    small.thumbnail((side, side))
    return rows, png(small)


def _change(
    one: Endpoint,
    verb: str,
    summary: str,
    ask: type[IndexAsk],
    answer: type[BaseModel],
    once: Callable[[Model, Any, Caller], Awaitable[BaseModel]],
) -> Endpoint:
    async def answers(model: Model, asked: Any, caller: Caller) -> AsyncGenerator[BaseModel]:
        yield await once(model, asked, caller)

    return one._replace(
        path=f"{one.path}/{verb}",
        name=f"{one.name}_{verb}",
        summary=summary,
        ask=ask,
        answer=answer,
        answers=answers,
        once=once,
        large=False,
        changes=True,
    )


def _named(model: Model, ask: SearchAddAsk | SearchRemoveAsk) -> dict[str, Any]:
    return {"model": model.name, "version": model.version, "index": ask.index, "name": ask.name}


def _timing(began: float, embedded: Embedded | None = None) -> IndexTiming:
    """The stages of a request whose work on the index ``began`` then and ends now."""
    queue_s, decode_s, compute_s = (0.0, 0.0, 0.0) if embedded is None else embedded[2:]
    index_s = time.perf_counter() - began
    return IndexTiming(
        queue_ms=queue_s * 1e3, decode_ms=decode_s * 1e3, compute_ms=compute_s * 1e3, index_ms=index_s * 1e3
    )
