"""The tasks as a BentoML service, made from their table: its schema, its clients, its OpenAPI page's assets."""

import inspect
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

# Read when the library is imported: nothing here calls out.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Gate
from service.surfaces.http.asking import fields_of
from service.surfaces.http.disconnect import ASGIApp
from service.surfaces.http.openapi import document
from service.surfaces.http.pages import Pages
from service.surfaces.http.sse import framed
from service.tasks.caller import ANY_CALLER
from service.tasks.task import Endpoint

# What BentoML's clients read from a path of theirs, and send as a file.
_FILE = Annotated[Path, ContentType("image/*")]
NO_HOOKS: Mapping[str, Callable[..., Any]] = MappingProxyType({})


def mount_pages(service: Any, engine: Engine, endpoints: Sequence[Endpoint], config: Config, metrics: ASGIApp) -> None:
    """Have BentoML's app show the read-only pages."""
    pages = Pages(engine, document(endpoints, config.max_images), metrics)
    service.mount_asgi_app(pages.app(), path="/")


def task_service(
    endpoints: Sequence[Endpoint],
    gate: Gate,
    hooks: Mapping[str, Callable[..., Any]] = NO_HOOKS,
    **settings: Any,
) -> Any:
    """BentoML's service with a method for each endpoint; its own routes answer requests, too.

    Args:
        endpoints: what it can be asked.
        gate: says whether it is ready.
        hooks: further methods by name, which BentoML calls when a worker starts or ends.
        settings: of `bentoml.service`.
    """

    async def is_ready(_self: object) -> bool:
        if reason := gate.why_not_ready:
            raise HTTPException(503, reason)
        return True

    methods = {endpoint.name: bentoml.api(route=endpoint.path)(_method(endpoint)) for endpoint in endpoints}
    namespace = {"__doc__": "Lectorium's task endpoints.", "__is_ready__": is_ready, **methods, **hooks}
    # Its metrics would label every path a stranger invents; ours are on the same port.
    quiet: dict[str, Any] = {"metrics": {"enabled": False}, "logging": {"access": {"enabled": False}}}
    return bentoml.service(name="lectorium", **quiet, **settings)(type("TaskService", (), namespace))


def _method(endpoint: Endpoint) -> Callable[..., Any]:
    """A method that asks the endpoint, with its fields as parameters, for BentoML reads them there."""

    async def answer(_self: object, **fields: Any) -> BaseModel:
        *_, last = [each async for each in _answers(endpoint, fields)]
        return last

    async def stream(_self: object, **fields: Any) -> AsyncGenerator[str, None]:
        names = endpoint.event_names
        async for each in _answers(endpoint, fields):
            yield framed(each.model_dump_json().encode(), names[type(each)]).decode()

    method: Any = stream if endpoint.events else answer
    method.__name__ = endpoint.name
    method.__doc__ = endpoint.summary
    returned = AsyncGenerator[str, None] if endpoint.events else endpoint.answer
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = inspect.Signature([me, *_parameters(endpoint)], return_annotation=returned)
    method.__annotations__ = {
        **{parameter.name: parameter.annotation for parameter in _parameters(endpoint)},
        "return": returned,
    }
    made: Callable[..., Any] = method
    return made


def _parameters(endpoint: Endpoint) -> list[inspect.Parameter]:
    """One for each field, those first that may not be left out."""
    kinds = fields_of(endpoint.ask)
    found = []
    for name, field in endpoint.ask.model_fields.items():
        annotation: Any = field.annotation
        if kinds[name].kind == "file":
            annotation = list[_FILE] if kinds[name].several else _FILE
        else:
            for constraint in field.metadata:
                annotation = Annotated[annotation, constraint]
        annotation = Annotated[annotation, Field(description=field.description)]
        default = inspect.Parameter.empty if field.is_required() else field.default
        found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
    return sorted(found, key=lambda parameter: parameter.default is not inspect.Parameter.empty)


async def _answers(endpoint: Endpoint, fields: dict[str, Any]) -> AsyncGenerator[BaseModel]:
    ask = endpoint.ask.model_construct(**{name: _content(value) for name, value in fields.items()})
    if endpoint.resolve is not None:
        ask = await endpoint.resolve(ask, ANY_CALLER)
    model = endpoint.select(ask.model, ask.version)
    async with aclosing(endpoint.answers(model, ask, ANY_CALLER)) as found:
        async for each in found:
            yield each


def _content(value: Any) -> Any:
    if isinstance(value, list):
        return [_content(each) for each in value]
    return value.read_bytes() if isinstance(value, Path) else value
