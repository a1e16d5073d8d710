"""The OpenAPI document of port 3000: every path, its parameters, and all its answers, errors included."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, Json, TypeAdapter, create_model

from service import __version__
from service.errors import (
    DeadlineExceeded,
    Draining,
    Forbidden,
    InternalError,
    InvalidArgument,
    InvalidIndex,
    LectoriumError,
    NotReady,
    QueueFull,
    TooLarge,
    Unauthenticated,
    UnknownIndex,
    UnknownModel,
)
from service.package.cards import CARDS
from service.surfaces.http.openapi_schemas import ask_schema, reference, schemas_of, takes_files
from service.tasks.task import Endpoint

_INFO = {
    "title": "Lectorium",
    "version": __version__,
    "description": "The vision models of a deep-learning lecture, trained, exported to ONNX, proved and served. "
    "The same models answer as tensors over the Open Inference Protocol on the REST and gRPC ports.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
# All errors that a request for a task may end with.
_ERRORS: tuple[type[LectoriumError], ...] = (
    InvalidArgument,
    UnknownModel,
    TooLarge,
    QueueFull,
    InternalError,
    Draining,
    DeadlineExceeded,
)
# Beside them, those of a search index, and those of a request that changes what the server has.
_INDEX_ERRORS = (UnknownIndex, InvalidIndex)
_CHANGE_ERRORS = (Unauthenticated, Forbidden)
# Said in words: for a request with several kinds of body, client generators write code that does not run.
_IN_OTHER_WAYS = (
    "The same fields may be sent as JSON, with files in base64. A single image may be the body itself, of type image/* "
    "or application/octet-stream, with the options in the URL."
)
_TAGS = [
    {"name": "Tasks", "description": "Send an image or a text, get a model's answer."},
    {"name": "Cards", "description": "Which models are served, and where they come from."},
    {"name": "Operation", "description": "For probes and scrapers."},
]


class Error(BaseModel):
    """An error message."""

    error: str


def document(endpoints: Sequence[Endpoint], most_items: int) -> dict[str, Any]:
    """The document, for requests of at most ``most_items`` images or texts."""
    written: list[tuple[str, TypeAdapter[Any]]] = [("Card", CARDS)]
    written += [(_event_name(endpoint), _event(endpoint)) for endpoint in endpoints if endpoint.events]
    models: list[type[BaseModel]] = [*(endpoint.answer for endpoint in endpoints), Error]
    written += [(model.__name__, TypeAdapter(model)) for model in models]
    forms = {endpoint.ask.__name__: ask_schema(endpoint.ask, most_items) for endpoint in endpoints}
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "."}],
        "tags": _TAGS,
        "paths": {**{endpoint.path: {"post": _task(endpoint)} for endpoint in endpoints}, **_cards(), **_operation()},
        "components": {"schemas": forms | schemas_of(written)},
    }


def _task(endpoint: Endpoint) -> dict[str, Any]:
    answered = _events(endpoint) if endpoint.events else _json("The answer.", endpoint.answer.__name__)
    if not endpoint.events:
        answered["links"] = {"model": _link("$response.body#/model", "$response.body#/version")}
    if endpoint.picture:
        answered["description"] += " A caller that prefers the picture's type in its Accept header gets it alone."
        answered["content"][endpoint.picture.media_type] = {"schema": {"type": "string", "format": "binary"}}
    kind = "multipart/form-data" if takes_files(endpoint.ask) else "application/json"
    return {
        "tags": ["Tasks"],
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": _IN_OTHER_WAYS if takes_files(endpoint.ask) else "",
        "requestBody": {"required": True, "content": {kind: {"schema": reference(endpoint.ask.__name__)}}},
        "responses": {"200": answered, **_errors(_errors_of(endpoint))},
    }


def _errors_of(endpoint: Endpoint) -> Iterable[type[LectoriumError]]:
    return (*_ERRORS, *(_INDEX_ERRORS if endpoint.resolve else ()), *(_CHANGE_ERRORS if endpoint.changes else ()))


def _events(endpoint: Endpoint) -> dict[str, Any]:
    # OpenAPI describes events from 3.2 on, by `itemSchema`; client generators read 3.1, where it is text.
    name = _event_name(endpoint)
    media = {"schema": {"type": "string"}, "x-itemSchema": reference(name)}
    return {"description": f"Server-sent events, each a `{name}`.", "content": {"text/event-stream": media}}


def _event_name(endpoint: Endpoint) -> str:
    return f"{endpoint.name.removesuffix('_stream').title().replace('_', '')}Event"


def _event(endpoint: Endpoint) -> TypeAdapter[Any]:
    """Any of an endpoint's events: the task's own, the answer, or an error after the first event."""
    kinds: dict[str, Any] = {**endpoint.events, "answer": endpoint.answer, "error": Error}
    made = [_named_event(name, data) for name, data in kinds.items()]
    event: Any = Annotated[Union[tuple(made)], Field(discriminator="event")]  # noqa: UP007
    return TypeAdapter(event)


@cache
def _named_event(name: str, data: Any) -> type[BaseModel]:
    """The event of that name, called after its data: several tasks have events of the same name."""
    fields: dict[str, Any] = {"event": (Literal[name], ...), "data": (Json[data], ...)}  # type: ignore[misc]
    return create_model(f"{data.__name__}Event", **fields)


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
        "description": "Empty for the highest.",
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
    """A link from an answer to the card of the model that it names."""
    return {"operationId": "model", "parameters": {"name": name, "version": version}}


def _operation() -> dict[str, Any]:
    live = {"200": _text("It is.")}
    ready = {"200": _text("They are."), **_errors([NotReady])}
    shown = _text("In Prometheus' format, or in OpenMetrics' if the caller accepts it.", "application/openmetrics-text")
    metrics = {"200": shown, "503": _json("A worker's metrics are missing.", "Error")}
    return {
        "/livez": {"get": _get("Operation", "live", "Whether the process is alive.", live)},
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
    """An answer of plain text, or of one of the other ``kinds``."""
    return {
        "description": description,
        "content": {kind: {"schema": {"type": "string"}} for kind in ("text/plain", *kinds)},
    }
