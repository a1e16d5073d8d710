"""The text that is printed once every port listens."""

import re
from collections.abc import Sequence
from pathlib import Path

from service.config import Config
from service.engine import Engine
from service.errors import LectoriumError
from service.surfaces.process.ports import EVERY_ADDRESS, bracketed
from service.tasks.selection import Selection
from service.tasks.task import Endpoint

# It exists if the server was started in the source tree.
PICTURE = Path("tests/data/seven.png")
# Otherwise the command holds a picture of the same digit, 28 pixels square, black and white, in base64.
SEVEN = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAO0lEQVR42mNgwAsY//9gYGJgYGFgYmD4w8DAwGDBwAQlGBgYGBgeQFhMDIxwFtMBmCw7A0wM"
    "weLDYxkAEJcGIri9gOoAAAAASUVORK5CYII="
)


async def greeting(config: Config, engine: Engine, endpoints: Sequence[Endpoint]) -> str:
    """The models, the addresses, and a command to try that works as it is printed."""
    host = "localhost" if config.host in ("127.0.0.1", "0.0.0.0", EVERY_ADDRESS) else bracketed(config.host)
    by = f" with {config.workers} workers" if config.workers > 1 else ""
    http, rest = f"http://{host}:{config.http_port}", f"http://{host}:{config.rest_port}/v2"
    names = engine.repository.names
    return f"""
Lectorium serves {", ".join(names) or "no model yet"}{by}

  tasks and OpenAPI page   {http}
  Open Inference REST      {rest}
  gRPC                     {host}:{config.grpc_port}
  metrics                  http://{host}:{config.metrics_port}/metrics

{_task(endpoints, http) or await _without_task(config, engine, rest)}
"""


def _task(endpoints: Sequence[Endpoint], http: str) -> str:
    """A request for the first task that has a model; "" if none has."""
    for endpoint in endpoints:
        if endpoint.select.served:
            return f"Try:  {_request(endpoint)} {http}{endpoint.path}"
    return ""


def _request(endpoint: Endpoint) -> str:
    """The curl command without the address."""
    name = _named(endpoint.select)
    if "image" not in endpoint.ask.model_fields:
        model = f', "model": "{name}"' if name else ""
        return f"""curl -d '{{"text": "Ich habe heute keine Zeit."{model}}}'"""
    model = f" -F model={name}" if name else ""
    picture = str(PICTURE.absolute())  # the user may run it in another folder
    if PICTURE.is_file() and re.fullmatch(r"[\w./-]+", picture):
        return f"curl -F image=@{picture}{model}"
    return f"echo {SEVEN} | base64 -d | curl -F image=@-{model}"


def _named(selection: Selection) -> str:
    """The model that a request has to name; "" if it may leave the name out."""
    try:
        selection("", "")
    except LectoriumError:
        return next(iter(selection.served))
    return ""


async def _without_task(config: Config, engine: Engine, rest: str) -> str:
    names = engine.repository.names
    return f"Try:  curl {rest}/models/{names[0]}" if names else await _how_to_load(config, engine, rest)


async def _how_to_load(config: Config, engine: Engine, rest: str) -> str:
    where = f"a package in {config.repository}/<name>/<version>/"
    if config.model_control == "none":
        return "Nothing could be loaded: the log says why."
    if config.model_control == "poll":
        return f"Put {where}: it is found within {config.poll_s:g} s, and served."
    if config.workers > 1:
        return "Nothing can be loaded: several workers refuse load requests. Set LECTORIUM_LOAD_MODELS, or one worker."
    token = ' -H "Authorization: Bearer $LECTORIUM_CONTROL_TOKEN"' if config.control_token else ""
    load = f"curl -X POST{token} {rest}/repository/models"
    waiting = [row.name for row in await engine.control.index()]
    return f"Load one:  {load}/{waiting[0]}/load" if waiting else f"Put {where}, then:  {load}/<name>/load"
