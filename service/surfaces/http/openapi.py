"""The OpenAPI document of port 3000: every path, what it takes, and every answer it gives, refusals included."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, Json, TypeAdapter, create_model

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
from service.surfaces.http.openapi_schemas import ask_schema, reference, schemas_of, takes_files
from service.tasks.task import Endpoint

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
# In words: of a request that has several kinds of body, generators of clients make code that does not run.
_IN_OTHER_WAYS = (
    "The same fields may be sent as JSON, files in base64; one image may be the body itself, its type image/* or "
    "application/octet-stream, with the options in the URL."
)
_TAGS = [
    {"name": "Tasks", "description": "Images and texts in, what the models say of them out."},
    {"name": "Cards", "description": "What is served, and where it came from."},
    {"name": "Operation", "description": "For probes and scrapers."},
]


class Error(BaseModel):
    """What was wrong, in words."""

    error: str


def document(endpoints: Sequence[Endpoint], most_items: int) -> dict[str, Any]:
    """The document to serve, where a request has at most ``most_items`` images or texts."""
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
    kind = "multipart/form-data" if takes_files(endpoint.ask) else "application/json"
    return {
        "tags": ["Tasks"],
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": _IN_OTHER_WAYS if takes_files(endpoint.ask) else "",
        "requestBody": {"required": True, "content": {kind: {"schema": reference(endpoint.ask.__name__)}}},
        "responses": {"200": answered, **_errors(_ERRORS)},
    }


def _events(endpoint: Endpoint) -> dict[str, Any]:
    # What each event is, OpenAPI says from 3.2 on, with `itemSchema`; generators of clients read 3.1, and text.
    name = _event_name(endpoint)
    media = {"schema": {"type": "string"}, "x-itemSchema": reference(name)}
    return {"description": f"Server-sent events, each a `{name}`.", "content": {"text/event-stream": media}}


def _event_name(endpoint: Endpoint) -> str:
    return f"{endpoint.name.removesuffix('_stream').title().replace('_', '')}Event"


def _event(endpoint: Endpoint) -> TypeAdapter[Any]:
    """Any of an endpoint's events: its own, the answer, and an error once the first has been sent."""
    kinds: dict[str, Any] = {**endpoint.events, "answer": endpoint.answer, "error": Error}
    made = [_named_event(name, data) for name, data in kinds.items()]
    event: Any = Annotated[Union[tuple(made)], Field(discriminator="event")]  # noqa: UP007
    return TypeAdapter(event)


def _named_event(name: str, data: Any) -> type[BaseModel]:
    fields: dict[str, Any] = {"event": (Literal[name], ...), "data": (Json[data], ...)}  # type: ignore[misc]
    return create_model(f"{name.title()}Event", **fields)


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
