"""The OpenAPI document of port 3000: every path, what it takes, and every answer it gives, refusals included."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter

from service import __version__
from service.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidArgument,
    LectoriumError,
    NotReady,
    QueueFull,
    TooLarge,
    UnknownModel,
)
from service.package.cards import CARDS
from service.surfaces.caption_events import CAPTION_EVENTS, Error
from service.surfaces.openapi_schemas import form_schema, reference, schemas_of

_INFO = {
    "title": "Lectorium",
    "version": __version__,
    "description": "The vision models of a deep-learning lecture, trained, exported to ONNX, proved and served. "
    "The same models answer as tensors over the Open Inference Protocol on the REST and gRPC ports.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
# What a request for a task may end with. Whoever reads the body knows no other errors.
_ERRORS: tuple[type[LectoriumError], ...] = (
    InvalidArgument,
    UnknownModel,
    TooLarge,
    QueueFull,
    InternalError,
    Draining,
    DeadlineExceeded,
)
_TAGS = [
    {"name": "Tasks", "description": "Images and texts in, what the models say of them out."},
    {"name": "Cards", "description": "What is served, and where it came from."},
    {"name": "Operation", "description": "For probes and scrapers."},
]


class Task(NamedTuple):
    """A task's path.

    Attributes:
        path: where it is asked for, with POST.
        name: of the operation.
        form: the fields of its request, a multipart form where ``multipart``, else JSON.
        answer: the model of its answer; None where events answer.
        summary: what it does.
    """

    path: str
    name: str
    form: type[BaseModel]
    multipart: bool
    answer: type[BaseModel] | None
    summary: str


def document(tasks: Sequence[Task], most_items: int) -> dict[str, Any]:
    """The document to serve, where a request has at most ``most_items`` images or texts."""
    written: list[tuple[str, TypeAdapter[Any]]] = [("Card", CARDS), ("CaptionEvent", CAPTION_EVENTS)]
    written += [(model.__name__, TypeAdapter(model)) for model in (*(task.answer for task in tasks), Error) if model]
    forms = {task.form.__name__: form_schema(task.form, task.multipart, most_items) for task in tasks}
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "."}],
        "tags": _TAGS,
        "paths": {**{task.path: {"post": _task(task)} for task in tasks}, **_cards(), **_operation()},
        "components": {"schemas": forms | schemas_of(written)},
    }


def _task(task: Task) -> dict[str, Any]:
    kind = "multipart/form-data" if task.multipart else "application/json"
    answered = _json("The answer.", task.answer.__name__) if task.answer else _events()
    if task.answer:
        answered["links"] = {"model": _link("$response.body#/model", "$response.body#/version")}
    return {
        "tags": ["Tasks"],
        "operationId": task.name,
        "summary": task.summary,
        "requestBody": {"required": True, "content": {kind: {"schema": reference(task.form.__name__)}}},
        "responses": {"200": answered, **_errors(_ERRORS)},
    }


def _events() -> dict[str, Any]:
    # What each event is, OpenAPI says from 3.2 on, with `itemSchema`; generators of clients read 3.1, and text.
    media = {"schema": {"type": "string"}, "x-itemSchema": reference("CaptionEvent")}
    return {"description": "Server-sent events, each a `CaptionEvent`.", "content": {"text/event-stream": media}}


def _cards() -> dict[str, Any]:
    models = {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": reference("Card")}},
    }
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    version = {
        "name": "version",
        "in": "query",
        "description": "Empty: the highest.",
        "schema": {"type": "string", "default": ""},
    }
    all_found = {
        "200": {
            "description": "The cards.",
            "content": {"application/json": {"schema": models}},
            "links": {"model": _link("$response.body#/models/0/name", "$response.body#/models/0/version")},
        }
    }
    found = {"200": _json("The card.", "Card"), **_errors([UnknownModel])}
    one = _get("Cards", "model", "One model's card.", found) | {"parameters": [name, version]}
    return {
        "/v1/models": {"get": _get("Cards", "models", "The cards of all models served.", all_found)},
        "/v1/models/{name}": {"get": one},
    }


def _link(name: str, version: str) -> dict[str, Any]:
    """From an answer to the card of the model it names."""
    return {"operationId": "model", "parameters": {"name": name, "version": version}}


def _operation() -> dict[str, Any]:
    live = {"200": _text("It does.")}
    ready = {"200": _text("They are."), **_errors([NotReady])}
    shown = _text("In Prometheus' format, or in OpenMetrics' where that is accepted.", "application/openmetrics-text")
    metrics = {"200": shown, "503": _json("A worker did not give its metrics.", "Error")}
    return {
        "/livez": {"get": _get("Operation", "live", "Whether the process lives.", live)},
        "/readyz": {"get": _get("Operation", "ready", "Whether requests are taken.", ready)},
        "/metrics": {"get": _get("Operation", "metrics", "The metrics.", metrics)},
    }


def _get(tag: str, name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"tags": [tag], "operationId": name, "summary": summary, "responses": responses}


def _errors(errors: Iterable[type[LectoriumError]]) -> dict[str, Any]:
    found = {str(error.http_status): _json(error.__doc__ or "", "Error") for error in errors}
    if full := found.get(str(QueueFull.http_status)):
        full["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": reference(schema)}}}


def _text(description: str, *kinds: str) -> dict[str, Any]:
    """Plain text, or text of one of those kinds."""
    return {
        "description": description,
        "content": {kind: {"schema": {"type": "string"}} for kind in ("text/plain", *kinds)},
    }
