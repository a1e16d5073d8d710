"""The OpenAPI document of port 3000: BentoML's own, in our words, with the read-only routes added."""

import json
import re
from typing import Any

from pydantic import TypeAdapter

from service import __version__
from service.package import Card
from service.surfaces.caption_events import CAPTION_EVENTS

_INFO = {
    "title": "Lectorium",
    "version": __version__,
    "description": "The vision models of a deep-learning lecture, trained, exported to ONNX, proved and served. "
    "The same models answer as tensors over the Open Inference Protocol on the REST and gRPC ports.",
    "license": {"name": "Apache-2.0"},
}
_ERROR = {
    "description": "What was wrong, in words: what came and what was wanted.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
_ERRORS = (400, 404, 413, 429, 500, 503, 504)
_REFS = "#/components/schemas/{model}"
# What the events are of the tasks that are answered by events.
_EVENTS: dict[str, TypeAdapter[Any]] = {"/v1/caption/stream": CAPTION_EVENTS}
_NAME = re.compile(re.escape(_REFS).replace(r"\{model\}", r"(\w+)"))


def document(bentoml_spec: dict[str, Any]) -> dict[str, Any]:
    """The document to serve, from the specification BentoML makes of the task service."""
    paths = bentoml_spec["paths"]
    tasks = {path: {"post": _task(operations["post"])} for path, operations in paths.items() if "post" in operations}
    probes = {path: paths[path] for path in ("/livez", "/readyz", "/metrics")}
    known = dict(bentoml_spec["components"]["schemas"])
    for path, events in _EVENTS.items():
        tasks[path]["post"]["responses"][200], defined = _events(events)
        known |= defined
    schemas = _referred_to(tasks, known)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "."}],
        "paths": {**tasks, **_card_paths(), **probes},
        "components": {"schemas": {**schemas, **_card_schemas()}},
    }


def _task(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation["requestBody"]["content"]
    # Without their encodings: fields are plain text, as a form sends them, not JSON.
    body = {kind: {"schema": media["schema"]} for kind, media in content.items()}
    return {
        "tags": ["Tasks"],
        "operationId": operation["operationId"],
        "summary": operation["description"],
        "requestBody": {"required": True, "content": body},
        "responses": {200: operation["responses"][200], **dict.fromkeys(_ERRORS, _ERROR)},
    }


def _events(events: TypeAdapter[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The response, and the schemas that it refers to."""
    schema = events.json_schema(ref_template=_REFS, mode="serialization")
    defined: dict[str, Any] = schema.pop("$defs")
    said = "Events: `event` is each one's name, `data` its JSON."
    return {"description": said, "content": {"text/event-stream": {"schema": schema}}}, defined


def _referred_to(description: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Those of the schemas that the description refers to, and those that they refer to in turn."""
    found: dict[str, Any] = {}
    for name in _NAME.findall(json.dumps(description)):
        if name not in found:
            found |= {name: schemas[name], **_referred_to(schemas[name], schemas)}
    return found


def _card_schemas() -> dict[str, Any]:
    schema = Card.model_json_schema(ref_template=_REFS, mode="serialization")
    definitions: dict[str, Any] = schema.pop("$defs")
    return {**definitions, "Card": schema}


def _card_paths() -> dict[str, Any]:
    card = {"$ref": _REFS.format(model="Card")}
    models = {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": card}},
    }
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    version = {"name": "version", "in": "query", "required": False, "schema": {"type": "string"}}
    return {
        "/v1/models": {"get": _get("The cards of all models served.", models, [])},
        "/v1/models/{name}": {"get": _get("One model's card.", card, [name, version])},
    }


def _get(summary: str, schema: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    responses: dict[int, Any] = {200: {"description": "Found.", "content": content}}
    if parameters:
        responses[404] = _ERROR
    return {"tags": ["Cards"], "summary": summary, "parameters": parameters, "responses": responses}
