"""Converts between the messages of `lectorium.v1.Vision` and the tasks' models, whose fields have the same names."""

from collections.abc import Callable
from types import NoneType
from typing import Any, get_args, get_origin

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel

from service.tasks.task import Ask, Endpoint

# Returned with each answer; tasks do not see it.
ID = "id"
ANSWER = "answer"

Read = Callable[[Any], Ask]


class MessageMismatch(TypeError):
    """A message of the protocol has other fields than its task's model."""


def reader(message: Descriptor, ask: type[Ask]) -> Read:
    """A function from such a message to an ``ask``. Fields that are not set become None, or "" if they are texts.

    Raises:
        MessageMismatch: the message has other fields.
    """
    _check(message, ask.model_fields.keys(), ask)
    plain = [name for name in ask.model_fields if not message.fields_by_name[name].has_presence]
    optional = [name for name in ask.model_fields if message.fields_by_name[name].has_presence]

    def read(request: Any) -> Ask:
        values = {name: getattr(request, name) for name in plain}
        values |= {name: getattr(request, name) if request.HasField(name) else None for name in optional}
        return ask.of(values)

    return read


def writer(message: Descriptor, answer: type[BaseModel], *, large: bool = False) -> Callable[[BaseModel, str], Any]:
    """A function from an answer and its request's id to such a message; what is None is not set.

    Each step of it holds Python's lock. If an answer may be ``large``, its lists of models are written one by one, so
    that other threads go on in between if one thread writes it.

    Raises:
        MessageMismatch: the message, or one inside it, has other fields.
    """
    check_answer(message, answer)
    made = GetMessageClass(message)
    fields = answer.model_fields.items() if large else ()
    apart = {
        name: GetMessageClass(message.fields_by_name[name].message_type)
        for name, field in fields
        if get_origin(field.annotation) is list and _inside(field.annotation) is not None
    }

    has_id = ID in message.fields_by_name  # the answer of a stream may leave it to the response around it

    def write(found: BaseModel, id: str) -> Any:
        values = found.model_dump(exclude_none=True, exclude=set(apart) or None)
        for name, part in apart.items():
            values[name] = [part(**each.model_dump(exclude_none=True)) for each in getattr(found, name)]
        return made(**values, id=id) if has_id else made(**values)

    return write


def event_writer(message: Descriptor, endpoint: Endpoint) -> Callable[[BaseModel, str], Any]:
    """A function from an event, or the answer that comes last, to such a message, which has a field for each kind.

    Raises:
        MessageMismatch: the message, or one inside it, has other fields.
    """
    kinds = {**endpoint.events, ANSWER: endpoint.answer}
    _check(message, kinds.keys(), endpoint.answer)
    for name, kind in kinds.items():
        check_answer(message.fields_by_name[name].message_type, kind)
    names = {kind: name for name, kind in kinds.items()}
    made = GetMessageClass(message)
    last = writer(message.fields_by_name[ANSWER].message_type, endpoint.answer, large=endpoint.large)

    def write(found: BaseModel, id: str) -> Any:
        if type(found) is endpoint.answer:
            return made(**{ANSWER: last(found, "")}, id=id)
        return made(**{names[type(found)]: found.model_dump(exclude_none=True)}, id=id)

    return write


def check_answer(message: Descriptor, answer: type[BaseModel]) -> None:
    """Check that the message has the answer's fields, and so for the messages inside it.

    Raises:
        MessageMismatch: it has other fields.
    """
    _check(message, answer.model_fields.keys(), answer)
    for name, field in answer.model_fields.items():
        inside, found = _inside(field.annotation), message.fields_by_name[name]
        if (inside is None) != (found.type != FieldDescriptor.TYPE_MESSAGE):
            raise MessageMismatch(
                f"{message.full_name}.{name} and {answer.__name__}.{name}: one is a message, one is not"
            )
        if inside is not None:
            check_answer(found.message_type, inside)


def _check(message: Descriptor, wanted: Any, model: type[BaseModel]) -> None:
    found = {field.name for field in message.fields} - {ID}
    if found != set(wanted):
        raise MessageMismatch(f"{message.full_name} has the fields {sorted(found)}, {model.__name__} {sorted(wanted)}")


def _inside(annotation: Any) -> type[BaseModel] | None:
    """The model in the annotation, alone, optional or in a list; None if there is none."""
    if get_origin(annotation) is not None:
        inner = [_inside(each) for each in get_args(annotation) if each is not NoneType]
        return next((each for each in inner if each is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
