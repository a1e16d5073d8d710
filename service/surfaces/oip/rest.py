"""The Open Inference Protocol over REST: a bare ASGI callable, for this is the fast path."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from service import __version__
from service.config import Config
from service.engine import Engine
from service.errors import UnknownModel, UnknownPath, WrongVerb
from service.surfaces.gate import Gate
from service.surfaces.http.body import length_header, read_body
from service.surfaces.http.disconnect import Callers, Receive, Scope, Send
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import ANSWERED, JSON, Headers, error_answer
from service.surfaces.oip.classification import classified
from service.surfaces.oip.generate import OipGenerate, SendEvents
from service.surfaces.oip.json_messages import read_raw_request, read_request, write_answer
from service.surfaces.oip.model import configuration, metadata, statistics
from service.surfaces.oip.repository_rest import RepositoryRoutes
from service.surfaces.oip.tensors import EXTENSIONS

SURFACE = "oip_rest"
_JSON_LENGTH = b"inference-header-content-length"
_BINARY = (b"content-type", b"application/octet-stream")

Answered = tuple[int, Headers, bytes]


class OipRest:
    """Answers ``/v2``. Every error is ``{"error": "..."}`` with the status its class names."""

    def __init__(self, engine: Engine, gate: Gate, config: Config) -> None:
        self._engine = engine
        self._gate = gate
        self._config = config
        self._limit = config.max_request_bytes
        self._callers = Callers(config.timeout_s)
        generate = OipGenerate(SURFACE, engine, gate, config, self._callers)
        model = r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"
        self._routes: list[tuple[re.Pattern[str], str, Callable[..., Awaitable[Answered | SendEvents]]]] = [
            (re.compile(model + "/infer"), "POST", self._infer),
            (re.compile(model + "/generate"), "POST", generate.once),
            (re.compile(model + "/generate_stream"), "POST", generate.stream),
            (re.compile(model + "/ready"), "GET", self._model_ready),
            (re.compile(model + "/config"), "GET", self._model_config),
            (re.compile(model + "/stats"), "GET", self._stats),
            (re.compile("/v2/models/stats"), "GET", self._stats),
            *RepositoryRoutes(engine, gate, config).routes,
            (re.compile(model), "GET", self._model),
            (re.compile("/v2/health/live"), "GET", self._live),
            (re.compile("/v2/health/ready"), "GET", self._ready),
            (re.compile("/v2/?"), "GET", self._server),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answered = await self._answer(scope, receive)
            if callable(answered):  # events, which it sends one by one
                await answered(send)
                return
            status, headers, body = answered
        except ANSWERED as error:
            status, headers, body = error_answer(error)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answered | SendEvents:
        path = scope["path"]
        for pattern, verb, handler in self._routes:
            if match := pattern.fullmatch(path):
                if scope["method"] != verb:
                    raise WrongVerb(f"{scope['method']} {path[:200]}: this path takes {verb}")
                return await handler(scope, receive, **match.groupdict())
        raise UnknownPath(f"no path {path[:200]!r}")

    async def _infer(self, scope: Scope, receive: Receive, name: str, version: str | None) -> Answered:
        with self._gate.call(SURFACE) as call, self._callers.caller(scope) as caller:
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

    async def _model_ready(self, _scope: Scope, _receive: Receive, name: str, version: str | None) -> Answered:
        try:
            model = self._engine.repository.get(name, version)
        except UnknownModel as error:
            return error.http_status, [JSON], orjson.dumps({"ready": False, "error": str(error)})
        return self._readiness({"name": model.name, "version": model.version}, self._gate.serving)

    async def _model(self, _scope: Scope, _receive: Receive, name: str, version: str | None) -> Answered:
        model = self._engine.repository.get(name, version)
        return _ok(metadata(model, [model.version] if version else self._engine.repository.versions(name)))

    async def _model_config(self, _scope: Scope, _receive: Receive, name: str, version: str | None) -> Answered:
        model = self._engine.repository.get(name, version)
        return _ok(configuration(model, self._engine.repository.policy(name), self._config))

    async def _stats(
        self, _scope: Scope, _receive: Receive, name: str | None = None, version: str | None = None
    ) -> Answered:
        return _ok({"model_stats": [statistics(model) for model in self._engine.repository.select(name, version)]})

    async def _live(self, _scope: Scope, _receive: Receive) -> Answered:
        return _ok({"live": True})

    async def _ready(self, _scope: Scope, _receive: Receive) -> Answered:
        reason = self._gate.why_not_ready
        return self._readiness({"reason": reason} if reason else {}, not reason)

    async def _server(self, _scope: Scope, _receive: Receive) -> Answered:
        return _ok({"name": "lectorium", "version": __version__, "extensions": EXTENSIONS})

    def _readiness(self, what: dict[str, Any], ready: bool) -> Answered:
        status = 200 if ready else 503 if self._gate.closed else 400
        return status, [JSON], orjson.dumps({**what, "ready": status == 200})


def _ok(message: dict[str, Any]) -> Answered:
    return 200, [JSON], orjson.dumps(message)
