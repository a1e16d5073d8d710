"""The JSON that the endpoints for texts take."""

from typing import Any

import bentoml
from pydantic import Field
from starlette.requests import Request

from service.errors import InvalidArgument
from service.surfaces.oip_json import json_object, read_json, typed
from service.surfaces.task_form import TaskForm

_WHERE = "request"
_ANY = "In any language and script; the model's card says how many bytes of UTF-8 a text may have."


class _OptionsForm(TaskForm):
    top_k: int | None = Field(None, description="How many labels; empty: the card's default.")

    @classmethod
    async def read_fields(cls, request: Request) -> dict[str, Any]:
        body = json_object(_WHERE, read_json(await request.body()), set(cls.model_fields))
        options = {"model": typed(_WHERE, body, "model", str, ""), "version": typed(_WHERE, body, "version", str, "")}
        return {**cls.read_texts(body), **options, "top_k": typed(_WHERE, body, "top_k", int, None)}


# A base's fields come before those of the bases named before it: named last, the text is the first of all.
class _TextForm(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's types are not exported
    text: str = Field(description=_ANY, json_schema_extra={"examples": ["Alle Menschen sind frei geboren."]})

    @classmethod
    def read_texts(cls, body: dict[str, Any]) -> dict[str, str]:
        return {"text": typed(_WHERE, body, "text", str)}


class _TextsForm(bentoml.IODescriptor):  # type: ignore[misc]
    texts: list[str] = Field(description=_ANY)

    @classmethod
    def read_texts(cls, body: dict[str, Any]) -> dict[str, list[str]]:
        texts: list[Any] = typed(_WHERE, body, "texts", list)
        if not {str}.issuperset(map(type, texts)):
            at = next(i for i, text in enumerate(texts) if type(text) is not str)
            raise InvalidArgument(f"{_WHERE}: 'texts' is a list of strings, texts[{at}] is none")
        return {"texts": texts}


class ClassifyTextForm(_OptionsForm, _TextForm):
    """The keys of `/v1/classify-text`."""


class ClassifyTextBatchForm(_OptionsForm, _TextsForm):
    """The keys of `/v1/classify-text/batch`."""
