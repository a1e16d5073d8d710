"""What a task is. It is declared once, and every surface offers it in the same way.

A task declares the type of its cards, the fields of its requests (an `Ask`, the only list of them) and the type of its
answer. Its `endpoints` follow from that, and from these follow the routes, forms, methods and descriptions of the
surfaces.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from service.config import Config
from service.engine import Engine, Model
from service.package import Card
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.image_decoding import ImageDecoder
from service.tasks.selection import Selection

NO_EVENTS: Mapping[str, type[BaseModel]] = MappingProxyType({})


class Ask(BaseModel):
    """The fields of a request. Their ranges hold for every model; the card of a model may allow less.

    A field of type ``bytes`` is an image file. Optional fields are "" or None by default, for the card's default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("", description="The name of the model; empty: the server's default.")
    version: str = Field("", description="The version of the model; empty: the highest.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """A request with these values, which must have the types of the fields. The task checks their ranges.

        It does the same as `model_construct` at a third of the cost.
        """
        ask: Self = _defaults(cls).model_copy(update=values)
        return ask


A = TypeVar("A", bound=Ask)
R = TypeVar("R", bound=BaseModel)
Answers = Callable[[Model, Any, Caller], AsyncGenerator[BaseModel]]
Once = Callable[[Model, Any, Caller], Awaitable[BaseModel]]


class PictureAnswer(NamedTuple):
    """How the answer can be a picture itself, for a caller that prefers its media type to JSON.

    Attributes:
        media_type: of the picture, such as ``image/png``.
        ask: makes the request for the picture out of the caller's; raises `InvalidArgument` if that asks for more.
        of: the picture in the answer to it.
    """

    media_type: str
    ask: Callable[[Any], Ask]
    of: Callable[[Any], bytes]


class Endpoint(NamedTuple):
    """One way to request a task.

    Attributes:
        path: its path over HTTP.
        name: the name of the operation, such as ``classify_batch``.
        summary: what it does.
        ask: the type of its requests.
        answer: the type of its answer.
        events: the types of the events that a stream sends before the answer, by their names; empty if it is no stream.
        select: finds the model for a request.
        answers: yields the events, if there are any, and then the answer.
        once: returns the answer of an endpoint without events, at half the cost of a generator; None if it has events.
        picture: how the answer can be a picture; None if it cannot.
        large: whether an answer may be so large that it is better written out on a thread.
        resolve: fills in the model and version of a request whose model is named elsewhere, before ``select``; None if
            the request itself names it, or the default holds.
        changes: whether it changes what the server has, which pages of other sites may not do.
    """

    path: str
    name: str
    summary: str
    ask: type[Ask]
    answer: type[BaseModel]
    events: Mapping[str, type[BaseModel]]
    select: Selection
    answers: Answers
    once: Once | None = None
    picture: PictureAnswer | None = None
    large: bool = False
    resolve: Callable[[Any, Caller], Awaitable[Ask]] | None = None
    changes: bool = False

    @property
    def event_names(self) -> dict[type[BaseModel], str]:
        """The name of each type of event in a stream, including the answer."""
        return {kind: name for name, kind in (*self.events.items(), ("answer", self.answer))}


class Task(ABC, Generic[A]):
    """A task; the process has one object of each.

    Attributes:
        name: the last part of its path.
        does: what its models do, as a verb.
        summary: what it does.
        card: the type of its models' cards; `serves` may require more of them.
        ask: the type of its requests.
        answer: the type of its answer.
        events: the types of what comes before the answer, by name. A task with events can be requested as a stream.
        picture: how the answer can be a picture itself; None if it cannot.
        large: whether an answer may be so large that it is better written out on a thread.
    """

    name: ClassVar[str]
    does: ClassVar[str]
    summary: ClassVar[str]
    card: ClassVar[type[Card]]
    ask: type[A]
    answer: ClassVar[type[BaseModel]]
    events: ClassVar[Mapping[str, type[BaseModel]]] = NO_EVENTS
    picture: ClassVar[PictureAnswer | None] = None
    large: ClassVar[bool] = False

    def __init__(self, engine: Engine, config: Config, decode: ImageDecoder) -> None:
        self.engine = engine
        self.config = config
        self.decode = decode
        default = config.default_models.get(self.name, "")
        self.select = Selection(engine, self.serves, self.does, default, self.serves_unnamed)

    @classmethod
    def serves(cls, card: Card) -> bool:
        """Whether the model with this card can do the task."""
        return isinstance(card, cls.card)

    @classmethod
    def serves_unnamed(cls, card: Card) -> bool:
        """Whether the model with this card can also do the task for a request that names no model."""
        return cls.serves(card)

    @abstractmethod
    def answers(self, model: Model, ask: A, caller: Caller) -> AsyncGenerator[BaseModel]:
        """Yield the events as they happen, then the answer; wrap it in `contextlib.aclosing`.

        Raises:
            LectoriumError: the model does not allow an option, or cannot answer for another reason.
        """

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to request the task."""
        path, name = f"/v1/{self.name}", self.name.replace("-", "_")
        one = Endpoint(path, name, self.summary, self.ask, self.answer, NO_EVENTS, self.select, self.answers)
        one = one._replace(large=self.large)
        found = [one._replace(picture=self.picture)]
        if self.events:
            summary = "The same as a stream of server-sent events, and then the whole answer."
            found.append(
                one._replace(path=f"{path}/stream", name=f"{name}_stream", summary=summary, events=self.events)
            )
        return found


class BatchTask(Task[A], Generic[A, R]):
    """A task that takes one or several items, such as images, and has a result for each.

    Attributes:
        many: the name of the field that has the item; in a `/batch` request it is a list.
        result: the type of the result for one item.
        batch_ask: the type of a request with several items.
        batch_answer: the type of the answer to it.
    """

    many: ClassVar[str]
    result: type[R]
    batch_summary: ClassVar[str]
    batch_ask: ClassVar[type[Ask]]
    batch_answer: ClassVar[type[BaseModel]]

    @abstractmethod
    async def results(
        self, model: Model, ask: A, items: Sequence[Any], caller: Caller, *, batch: bool
    ) -> tuple[list[R], Timing]:
        """The result for each of the ``items``, in their order, and how long the stages took.

        Args:
            model: the model that answers.
            ask: the options for all of them; its field ``many`` is not read.
            items: one item, or those of a batch.
            caller: who waits for the answer, and until when.
            batch: whether it is a batch; then errors begin with the index of the item.
        """

    async def answers(self, model: Model, ask: A, caller: Caller) -> AsyncGenerator[BaseModel]:
        """The answer."""
        yield await self.once(model, ask, caller)

    async def batch_answers(self, model: Model, ask: Any, caller: Caller) -> AsyncGenerator[BaseModel]:
        """The answer to a `batch_ask`."""
        yield await self.batch_once(model, ask, caller)

    async def once(self, model: Model, ask: A, caller: Caller) -> BaseModel:
        """The answer."""
        (result,), timing = await self.results(model, ask, [getattr(ask, self.many)], caller, batch=False)
        return self.answer(model=model.name, version=model.version, **vars(result), timing=timing)

    async def batch_once(self, model: Model, ask: Any, caller: Caller) -> BaseModel:
        """The answer to a `batch_ask`."""
        results, timing = await self.results(model, ask, getattr(ask, f"{self.many}s"), caller, batch=True)
        return self.batch_answer(model=model.name, version=model.version, results=results, timing=timing)

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to request the task."""
        (one,) = super().endpoints
        one = one._replace(once=self.once)
        batch = one._replace(
            path=f"{one.path}/batch",
            name=f"{one.name}_batch",
            summary=self.batch_summary,
            ask=self.batch_ask,
            answer=self.batch_answer,
            answers=self.batch_answers,
            once=self.batch_once,
            picture=None,
        )
        return [one, batch]


@cache
def _defaults(ask: type[Ask]) -> Any:
    return ask.model_construct()
