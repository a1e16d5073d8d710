"""The Open Inference Protocol over REST: its messages to the data plane and back, as a bare ASGI callable."""

import asyncio
import re
from typing import Any

import orjson

from service.config import Config
from service.errors import NotReady, UnknownModel
from service.surfaces.client import HttpClient
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.http.body import length_header, read_body
from service.surfaces.http.disconnect import Callers, Receive, Scope, Send
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import ANSWERED, JSON, error_answer
from service.surfaces.http.routing import Answered, Route, find_route
from service.surfaces.http.sse import EventStream
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.generate import OipGenerate
from service.surfaces.oip.repository_rest import RepositoryRoutes
from service.surfaces.oip.rest_messages import JSON_LENGTH, LARGE, read_request, write_response

SURFACE = "oip_rest"
_JSON_LENGTH = JSON_LENGTH.lower().encode()
_BINARY = (b"content-type", b"application/octet-stream")


class OipRest:
    """Answers ``/v2``. Every error is ``{"error": "..."}`` with the status that its class names."""

    def __init__(self, plane: DataPlane, gate: Gate, config: Config) -> None:
        self._plane = plane
        self._gate = gate
        self._config = config
        self._limit = config.max_request_bytes
        self._callers = Callers(config.timeout_s)
        generate = OipGenerate(plane, config, self._callers)
        model = r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"
        self.routes: list[Route] = [
            Route(re.compile(model + "/infer"), "POST", Kind.INFERENCE, self._infer),
            Route(re.compile(model + "/generate"), "POST", Kind.INFERENCE, generate.once),
            Route(re.compile(model + "/generate_stream"), "POST", Kind.INFERENCE, generate.stream),
            Route(re.compile(model + "/ready"), "GET", Kind.READ, self._model_ready),
            Route(re.compile(model + "/config"), "GET", Kind.READ, self._model_config),
            Route(re.compile(model + "/stats"), "GET", Kind.READ, self._stats),
            Route(re.compile("/v2/models/stats"), "GET", Kind.READ, self._stats),
            *RepositoryRoutes(plane.repository, config).routes,
            Route(re.compile(model), "GET", Kind.READ, self._model),
            Route(re.compile("/v2/health/live"), "GET", Kind.READ, self._live),
            Route(re.compile("/v2/health/ready"), "GET", Kind.READ, self._ready),
            Route(re.compile("/v2/?"), "GET", Kind.READ, self._server),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        kind, handler = find_route(self.routes, scope)
        events: EventStream | None = None
        try:
            with self._gate.call(SURFACE, HttpClient(scope), kind) as call:
                answered = await handler(call, scope, receive)
                if callable(answered):
                    events = EventStream(send, self._config.timeout_s)
                    await answered(events)
                    return
            status, headers, body = answered
        except ANSWERED as error:
            if events is not None and events.begun:
                await events.fail(error)
                return
            status, headers, body = error_answer(error)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _infer(self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None) -> Answered:
        with self._callers.caller(scope) as caller:
            model = self._plane.model_for(call, name, version)
            body = await decoded(scope, await read_body(scope, receive, self._limit), self._limit)
            caller.body_came()
            length = length_header(scope, _JSON_LENGTH)
            if (len(body) if length is None else length) < LARGE:
                request, binary = read_request(body, length, model)
            else:  # the event loop goes on between the steps of reading
                request, binary = await asyncio.to_thread(read_request, body, length, model)
            body, length = write_response(await self._plane.infer(request, call), binary)
            return 200, [JSON] if length is None else [_BINARY, (_JSON_LENGTH, b"%d" % length)], body

    async def _model_ready(
        self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None
    ) -> Answered:
        try:
            return self._readiness(call, self._plane.model_ready(name, version))
        except UnknownModel as error:
            call.code = error.grpc_code
            return error.http_status, [JSON], orjson.dumps({"ready": False, "error": str(error)})

    async def _model(self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None) -> Answered:
        return _ok(self._plane.model_metadata(name, version))

    async def _model_config(
        self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None
    ) -> Answered:
        return _ok(self._plane.model_config(name, version))

    async def _stats(
        self, call: Call, scope: Scope, receive: Receive, name: str | None = None, version: str | None = None
    ) -> Answered:
        return _ok(self._plane.model_statistics(name, version))

    async def _live(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        return _ok({"live": True})

    async def _ready(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        return self._readiness(call, self._plane.server_ready())

    async def _server(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        return _ok(self._plane.server_metadata())

    def _readiness(self, call: Call, found: dict[str, Any]) -> Answered:
        if found["ready"]:
            return _ok(found)
        call.code = NotReady.grpc_code
        return 503 if self._gate.closed else 400, [JSON], orjson.dumps(found)


def _ok(message: dict[str, Any]) -> Answered:
    return 200, [JSON], orjson.dumps(message)
