"""The types of answers and batches, made of the types of a task's request and of its result."""

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from service.tasks.answer import Timing
from service.tasks.task import Ask


def answer_of(name: str, result: type[BaseModel]) -> type[BaseModel]:
    """The type of an answer with one result: its fields, with the model and version that gave it."""
    fields: dict[str, Any] = {key: (field.annotation, field) for key, field in result.model_fields.items()}
    doc = "The answer, with the model and version that gave it."
    return create_model(name, __doc__=doc, model=(str, ...), version=(str, ...), **fields, timing=(Timing, ...))


def batch_answer_of(name: str, result: type[BaseModel]) -> type[BaseModel]:
    """The type of an answer with the results of several items."""
    timing = Field(description="The time for all of them together.")
    fields: dict[str, Any] = {"results": (list[result], ...), "timing": (Timing, timing)}  # type: ignore[valid-type]
    doc = "The results of several, in the order of the request."
    return create_model(name, __doc__=doc, model=(str, ...), version=(str, ...), **fields)


def batch_ask_of(ask: type[Ask], many: str, alone: Collection[str] = ()) -> type[Ask]:
    """The type of a request with a list instead of the field ``many``; the name of the list ends with an s.

    The fields ``alone`` are for one item only.
    """
    fields: dict[str, Any] = {}
    for key, field in ask.model_fields.items():
        if key == many:
            each = Any if field.annotation is None else field.annotation
            item = _with_metadata(each, field)
            fields[f"{key}s"] = (list[item], Field(description=field.description))  # type: ignore[valid-type]
        elif key not in Ask.model_fields and key not in alone:
            fields[key] = (field.annotation, field)
    return create_model(f"{ask.__name__.removesuffix('Ask')}BatchAsk", __base__=Ask, __doc__=ask.__doc__, **fields)


def _with_metadata(annotation: Any, field: FieldInfo) -> Any:
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    return annotation
