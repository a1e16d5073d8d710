"""The Open Inference Protocol over REST: a bare ASGI callable, for this is the fast path."""

import re
from typing import Any

import orjson

from service import __version__
from service.config import Config
from service.engine import Engine
from service.errors import NotReady, UnknownModel
from service.surfaces.client import HttpClient
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.http.body import length_header, read_body
from service.surfaces.http.disconnect import Callers, Receive, Scope, Send
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import ANSWERED, JSON, error_answer
from service.surfaces.http.routing import Answered, Route, find_route
from service.surfaces.http.sse import EventStream
from service.surfaces.oip.classification import classified
from service.surfaces.oip.generate import OipGenerate
from service.surfaces.oip.json_messages import read_raw_request, read_request, write_answer
from service.surfaces.oip.model import configuration, metadata, statistics
from service.surfaces.oip.repository_rest import RepositoryRoutes
from service.surfaces.oip.tensors import EXTENSIONS

SURFACE = "oip_rest"
_JSON_LENGTH = b"inference-header-content-length"
_BINARY = (b"content-type", b"application/octet-stream")


class OipRest:
    """Answers ``/v2``. Every error is ``{"error": "..."}`` with the status its class names."""

    def __init__(self, engine: Engine, gate: Gate, config: Config) -> None:
        self._engine = engine
        self._gate = gate
        self._config = config
        self._limit = config.max_request_bytes
        self._callers = Callers(config.timeout_s)
        generate = OipGenerate(engine, config, self._callers)
        model = r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"
        self.routes: list[Route] = [
            Route(re.compile(model + "/infer"), "POST", Kind.INFERENCE, self._infer),
            Route(re.compile(model + "/generate"), "POST", Kind.INFERENCE, generate.once),
            Route(re.compile(model + "/generate_stream"), "POST", Kind.INFERENCE, generate.stream),
            Route(re.compile(model + "/ready"), "GET", Kind.READ, self._model_ready),
            Route(re.compile(model + "/config"), "GET", Kind.READ, self._model_config),
            Route(re.compile(model + "/stats"), "GET", Kind.READ, self._stats),
            Route(re.compile("/v2/models/stats"), "GET", Kind.READ, self._stats),
            *RepositoryRoutes(engine, config).routes,
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
            model = self._engine.repository.get(name, version)
            call.for_model(model)
            body = await decoded(scope, await read_body(scope, receive, self._limit), self._limit)
            caller.body_came()
            length = length_header(scope, _JSON_LENGTH)
            request = read_raw_request(body, model) if length == 0 else read_request(body, length, model)
            answer = await self._engine.infer(model, model.version, request.inputs, request.outputs, request.options)
            call.record_stages(answer.queue_s, answer.compute_s)
            if request.classes:
                answer = classified(model, answer, request.classes)
            body, length = write_answer(model, request, answer)
            return 200, [JSON] if length is None else [_BINARY, (_JSON_LENGTH, b"%d" % length)], body

    async def _model_ready(
        self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None
    ) -> Answered:
        try:
            model = self._engine.repository.get(name, version)
        except UnknownModel as error:
            call.code = error.grpc_code
            return error.http_status, [JSON], orjson.dumps({"ready": False, "error": str(error)})
        return self._readiness(call, {"name": model.name, "version": model.version}, self._gate.serving)

    async def _model(self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None) -> Answered:
        model = self._engine.repository.get(name, version)
        return _ok(metadata(model, [model.version] if version else self._engine.repository.versions(name)))

    async def _model_config(
        self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None
    ) -> Answered:
        model = self._engine.repository.get(name, version)
        return _ok(configuration(model, self._engine.repository.policy(name), self._config))

    async def _stats(
        self, call: Call, scope: Scope, receive: Receive, name: str | None = None, version: str | None = None
    ) -> Answered:
        return _ok({"model_stats": [statistics(model) for model in self._engine.repository.select(name, version)]})

    async def _live(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        return _ok({"live": True})

    async def _ready(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        reason = self._gate.why_not_ready
        return self._readiness(call, {"reason": reason} if reason else {}, not reason)

    async def _server(self, call: Call, scope: Scope, receive: Receive) -> Answered:
        return _ok({"name": "lectorium", "version": __version__, "extensions": EXTENSIONS})

    def _readiness(self, call: Call, what: dict[str, Any], ready: bool) -> Answered:
        if not ready:
            call.code = NotReady.grpc_code
        status = 200 if ready else 503 if self._gate.closed else 400
        return status, [JSON], orjson.dumps({**what, "ready": status == 200})


def _ok(message: dict[str, Any]) -> Answered:
    return 200, [JSON], orjson.dumps(message)
