"""The model repository extension over REST."""

import asyncio
import base64
import re
from binascii import Error as NoBase64
from typing import Any

import orjson

from service.config import Config
from service.errors import InvalidArgument
from service.surfaces.gate import Call, Kind
from service.surfaces.http.body import check_json_type, read_body
from service.surfaces.http.disconnect import Callers, Receive, Scope
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import JSON
from service.surfaces.http.routing import Answered, Route
from service.surfaces.json_fields import json_object, read_json, shown, typed
from service.surfaces.oip.repository import RepositoryPlane
from service.surfaces.oip.repository_config import FILE


class RepositoryRoutes:
    """Answers ``/v2/repository``."""

    def __init__(self, repository: RepositoryPlane, config: Config) -> None:
        self._repository = repository
        self._limit = config.max_request_bytes
        self._callers = Callers(config.timeout_s)
        model = "/v2/repository/models/(?P<name>[^/]+)"
        self.routes: list[Route] = [
            Route(re.compile("/v2/repository/index"), "POST", Kind.READ, self._index),
            Route(re.compile(model + "/load"), "POST", Kind.CONTROL, self._load),
            Route(re.compile(model + "/unload"), "POST", Kind.CONTROL, self._unload),
        ]

    async def _index(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        message = _message(await self._body(scope, receive))
        ready = typed("index", message, "ready", bool, False)
        return 200, [JSON], orjson.dumps(await self._repository.index(ready=ready))

    async def _load(self, call: Call, scope: Scope, receive: Receive, name: str) -> Answered:
        parameters = await self._parameters(scope, receive)
        contents = await asyncio.to_thread(_contents, parameters)
        await self._repository.load(name, parameters | contents)
        return 200, [JSON], b"{}"

    async def _unload(self, call: Call, scope: Scope, receive: Receive, name: str) -> Answered:
        await self._repository.unload(name, await self._parameters(scope, receive))
        return 200, [JSON], b"{}"

    async def _parameters(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The parameters of a request that changes what is served."""
        body = await self._body(scope, receive)
        if body:
            check_json_type(scope["headers"])
        message = _message(body)
        parameters: dict[str, Any] = typed("request", message, "parameters", dict, {})
        return parameters

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        with self._callers.caller(scope):
            return await decoded(scope, await read_body(scope, receive, self._limit), self._limit)


def _message(body: bytes) -> dict[str, Any]:
    return json_object("request", read_json(body)) if body else {}


def _contents(parameters: dict[str, Any]) -> dict[str, bytes]:
    """The files among the parameters; JSON carries them in base64."""
    return {name: _content(name, value) for name, value in parameters.items() if name.startswith(FILE)}


def _content(name: str, value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (NoBase64, TypeError, ValueError) as error:
        raise InvalidArgument(f"load: {name[:80]} is {shown(value)}; it must be bytes in base64: {error}") from error
