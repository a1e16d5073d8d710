"""The events of `/v1/caption/stream`."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, Json, TypeAdapter

from service.tasks.captioning import Captioning, Word

NAMES: dict[type[BaseModel], str] = {Word: "word", Captioning: "answer"}


class WordEvent(BaseModel):
    """A word of the best caption, when it is chosen; those of beam search come at its end."""

    event: Literal["word"]
    data: Json[Word]


class AnswerEvent(BaseModel):
    """The last one: all that `/v1/caption` answers."""

    event: Literal["answer"]
    data: Json[Captioning]


class Error(BaseModel):
    """What was wrong, in words."""

    error: str


class ErrorEvent(BaseModel):
    """The last one, where something goes wrong after the first word; before it, the answer's status says so."""

    event: Literal["error"]
    data: Json[Error]


CAPTION_EVENTS: TypeAdapter[WordEvent | AnswerEvent | ErrorEvent] = TypeAdapter(
    Annotated[WordEvent | AnswerEvent | ErrorEvent, Field(discriminator="event")]
)
