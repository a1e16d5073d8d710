"""The JSON that the endpoints for texts take."""

from typing import Annotated, Any

import bentoml
from pydantic import Field
from starlette.requests import Request

from service.errors import InvalidArgument
from service.surfaces.control_guard import check_json_type
from service.surfaces.oip_json import json_object, read_json, typed
from service.surfaces.task_form import TaskForm

_WHERE = "request"
_NO_NUL = r"^[^\x00]+$"
_MAX_WHOLE = 2**53  # beyond it, a float is no longer the number that was written
_ANY = "In any language and script; the model's card says how many bytes of UTF-8 a text may have."


class _OptionsForm(TaskForm):
    top_k: int | None = Field(None, ge=1, description="How many labels; empty: the card's default.")

    @classmethod
    async def read_fields(cls, request: Request) -> dict[str, Any]:
        body = json_object(_WHERE, await _read(request), set(cls.model_fields))
        options = {"model": typed(_WHERE, body, "model", str, ""), "version": typed(_WHERE, body, "version", str, "")}
        return {**cls.read_texts(body), **options, "top_k": _whole_number(body, "top_k")}


# A base's fields come before those of the bases named before it: named last, the text is the first of all.
class _TextForm(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's types are not exported
    text: str = Field(
        description=_ANY,
        min_length=1,
        pattern=_NO_NUL,
        json_schema_extra={"examples": ["Alle Menschen sind frei geboren."]},
    )

    @classmethod
    def read_texts(cls, body: dict[str, Any]) -> dict[str, str]:
        return {"text": typed(_WHERE, body, "text", str)}


class _TextsForm(bentoml.IODescriptor):  # type: ignore[misc]
    texts: list[Annotated[str, Field(min_length=1, pattern=_NO_NUL)]] = Field(description=_ANY)

    @classmethod
    def read_texts(cls, body: dict[str, Any]) -> dict[str, list[str]]:
        texts: list[Any] = typed(_WHERE, body, "texts", list)
        if not {str}.issuperset(map(type, texts)):
            at = next(i for i, text in enumerate(texts) if type(text) is not str)
            raise InvalidArgument(f"{_WHERE}: 'texts' is a list of strings, texts[{at}] is not one")
        return {"texts": texts}


class ClassifyTextForm(_OptionsForm, _TextForm):
    """The keys of `/v1/classify-text`."""


class ClassifyTextBatchForm(_OptionsForm, _TextsForm):
    """The keys of `/v1/classify-text/batch`."""


async def _read(request: Request) -> Any:
    """The JSON in the body; one that is not said to be JSON may be it."""
    try:
        return read_json(await request.body())
    except InvalidArgument:
        check_json_type(request.scope["headers"])
        raise


def _whole_number(body: dict[str, Any], key: str) -> int | None:
    """The number at ``key``, None where it is missing or null; 3.0 is one too, as JSON's schemas have it."""
    value = body.get(key)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_WHOLE:
        return int(value)
    number: int | None = typed(_WHERE, body, key, int, None)
    return number
