"""What a task is: declared once, and asked alike over every surface.

A task names its cards, what it may be asked (an `Ask`, the only list of its fields) and what it answers. Its
`endpoints` follow from that, and whatever surfaces need follows from these: routes, forms, methods, descriptions.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import cache, cached_property
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from service.config import Config
from service.engine import Engine, Model
from service.package import Card
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.image_decoding import ImageDecoder
from service.tasks.selection import Selection

NO_EVENTS: Mapping[str, type[BaseModel]] = MappingProxyType({})


class Ask(BaseModel):
    """What is asked: every field with its range, whichever model is asked; the model's card may allow less.

    A field of type ``bytes`` is an image file. One that may be left out has "" or None for the card's default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("", description="Model name; empty: the server's default.")
    version: str = Field("", description="Model version; empty: the highest.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """One of ``values``, which are of the fields' types already; their ranges are the task's to check.

        The same as `model_construct`, at a third of its cost.
        """
        made: Self = _defaults(cls).model_copy(update=values)
        return made


A = TypeVar("A", bound=Ask)
R = TypeVar("R", bound=BaseModel)
Answers = Callable[[Model, Any, Caller], AsyncGenerator[BaseModel]]
Once = Callable[[Model, Any, Caller], Awaitable[BaseModel]]


class Endpoint(NamedTuple):
    """One way to ask a task.

    Attributes:
        path: where HTTP has it.
        name: of the operation, as ``classify_batch``.
        summary: what it does.
        ask: what it is asked.
        answer: what it answers; with ``events``, by their names, it comes after these.
        select: finds the model that is asked.
        answers: gives the events, where there are any, and at last the answer.
        once: gives the answer, of a task without events: half the cost of a generator of one; None of another.
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

    @property
    def event_names(self) -> dict[type[BaseModel], str]:
        """Of a stream: what each kind of event is called, the answer among them."""
        return {kind: name for name, kind in (*self.events.items(), ("answer", self.answer))}


class Task(ABC, Generic[A]):
    """One for the process, of each task that there is.

    Attributes:
        name: its path.
        does: what its models do, as a verb.
        summary: what it does.
        card: the type of its models' cards; `serves` may want more of them.
        ask: what it is asked.
        answer: what it answers.
        events: what comes before the answer, by name; where there is something, it may be asked as a stream.
    """

    name: ClassVar[str]
    does: ClassVar[str]
    summary: ClassVar[str]
    card: ClassVar[type[Card]]
    ask: type[A]
    answer: ClassVar[type[BaseModel]]
    events: ClassVar[Mapping[str, type[BaseModel]]] = NO_EVENTS

    def __init__(self, engine: Engine, config: Config, decode: ImageDecoder) -> None:
        self.engine = engine
        self.config = config
        self.decode = decode
        self.select = Selection(engine, self.serves, self.does, config.default_models.get(self.name, ""))

    @classmethod
    def serves(cls, card: Card) -> bool:
        """Whether the model of that card can do it."""
        return isinstance(card, cls.card)

    @abstractmethod
    def answers(self, model: Model, ask: A, caller: Caller) -> AsyncGenerator[BaseModel]:
        """The events as they come, then the answer; wrap it in `contextlib.aclosing`.

        Raises:
            LectoriumError: an option is none that the model has, or whatever else keeps it from answering.
        """

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to ask it."""
        path, name = f"/v1/{self.name}", self.name.replace("-", "_")
        found = [Endpoint(path, name, self.summary, self.ask, self.answer, NO_EVENTS, self.select, self.answers)]
        if self.events:
            summary = "The same as server-sent events: each as it comes, then the whole answer."
            found.append(
                found[0]._replace(path=f"{path}/stream", name=f"{name}_stream", summary=summary, events=self.events)
            )
        return found


class BatchTask(Task[A], Generic[A, R]):
    """A task that may be asked of several things at once, each of which has a result of its own.

    Attributes:
        many: the field that `/batch` takes several of.
        result: what is said of each.
        batch_ask: `ask` with a list in the place of ``many``.
        batch_answer: the results of all.
    """

    many: ClassVar[str]
    result: type[R]
    batch_summary: ClassVar[str]
    batch_ask: ClassVar[type[Ask]]
    batch_answer: ClassVar[type[BaseModel]]

    @abstractmethod
    async def results(
        self, model: Model, ask: A, things: Sequence[Any], caller: Caller, *, batch: bool
    ) -> tuple[list[R], Timing]:
        """The result of each of the ``things``, in their order, and where the time went.

        Args:
            model: a model of the task that is served.
            ask: what is asked of each; of its fields, ``many`` is not read.
            things: one, or where they are a ``batch`` any number that came.
            caller: for whom, and by when.
            batch: errors say the index of the thing they are about.
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
        """The ways to ask it."""
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
        )
        return [one, batch]


def answer_of(name: str, result: type[BaseModel]) -> type[BaseModel]:
    """The answer with one result: its fields, and the model and version that gave it."""
    fields: dict[str, Any] = {key: (field.annotation, field) for key, field in result.model_fields.items()}
    doc = "The answer, with the model and version that gave it."
    return create_model(name, __doc__=doc, model=(str, ...), version=(str, ...), **fields, timing=(Timing, ...))


def batch_answer_of(name: str, result: type[BaseModel]) -> type[BaseModel]:
    """The answer with the results of several things."""
    timing = Field(description="Of all of them together.")
    fields: dict[str, Any] = {"results": (list[result], ...), "timing": (Timing, timing)}  # type: ignore[valid-type]
    doc = "The answer to several, in their order."
    return create_model(name, __doc__=doc, model=(str, ...), version=(str, ...), **fields)


def batch_ask_of(ask: type[Ask], many: str) -> type[Ask]:
    """The same with a list in the place of the field ``many``, whose name then ends with an s."""
    fields: dict[str, Any] = {}
    for key, field in ask.model_fields.items():
        if key == many:
            each = Any if field.annotation is None else field.annotation
            item = _with_metadata(each, field)
            fields[f"{key}s"] = (list[item], Field(description=field.description))  # type: ignore[valid-type]
        elif key not in Ask.model_fields:
            fields[key] = (field.annotation, field)
    return create_model(f"{ask.__name__.removesuffix('Ask')}BatchAsk", __base__=Ask, __doc__=ask.__doc__, **fields)


def _with_metadata(annotation: Any, field: FieldInfo) -> Any:
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    return annotation


@cache
def _defaults(ask: type[Ask]) -> Any:
    return ask.model_construct()
