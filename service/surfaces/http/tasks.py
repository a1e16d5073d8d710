"""The tasks over HTTP: a bare ASGI callable, so that a request pays for nothing but its own work."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing

from service.config import Config
from service.deadline import Deadline
from service.surfaces.client import HttpClient
from service.surfaces.gate import Call, Gate
from service.surfaces.http.accept import preferred
from service.surfaces.http.asking import read_ask
from service.surfaces.http.body import read_body
from service.surfaces.http.disconnect import ASGIApp, Caller, Callers, Receive, Scope, Send
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import ANSWERED, JSON, Headers, error_answer
from service.surfaces.http.sse import EventStream
from service.surfaces.task_call import answer, answers, kind_of
from service.tasks.task import Ask, Endpoint

SURFACE = "http"
# A body of so many bytes takes tens of milliseconds to read; a thread does it, so that other requests go on.
LARGE = 1 << 20
# The name of the event that holds an error.
ERROR = "error"
JSON_TYPE = "application/json"
# For caches: the same request may have another answer for another Accept header.
_VARY = (b"vary", b"accept")


class TaskRoutes:
    """Answers POST requests to the tasks' paths; ``app`` answers all others."""

    def __init__(self, app: ASGIApp, endpoints: Iterable[Endpoint], gate: Gate, config: Config) -> None:
        self._app = app
        self._endpoints = {endpoint.path: endpoint for endpoint in endpoints}
        self._gate = gate
        self._limit = config.max_request_bytes
        self._most = config.max_images
        self._patience_s = config.timeout_s
        self._callers = Callers(config.timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        events = EventStream(send, self._patience_s, ERROR)
        try:
            with self._gate.call(SURFACE, HttpClient(scope), kind_of(endpoint)) as call:
                if endpoint.events:
                    await self._stream(endpoint, scope, receive, call, events)
                    return
                headers, body = await self._answer(endpoint, scope, receive, call)
        except ANSWERED as error:
            if events.begun:
                await events.fail(error)
            else:
                await _send(send, *error_answer(error))
            return
        await _send(send, 200, headers, body)

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, call: Call) -> tuple[Headers, bytes]:
        """The headers and the body: JSON, or a picture, if the endpoint has one and the caller prefers it."""
        picture = endpoint.picture
        with self._callers.caller(scope) as caller:
            ask = await self._ask(endpoint, scope, receive, caller, call)
            if picture is None:
                return [JSON], await _json(endpoint, ask, call)
            if preferred(scope, (JSON_TYPE, picture.media_type)) == JSON_TYPE:
                return [JSON, _VARY], await _json(endpoint, ask, call)
            found = picture.of(await answer(endpoint, picture.ask(ask), call))
            return [(b"content-type", picture.media_type.encode()), _VARY], found

    async def _stream(
        self, endpoint: Endpoint, scope: Scope, receive: Receive, call: Call, events: EventStream
    ) -> None:
        names = endpoint.event_names
        with self._callers.caller(scope) as caller:
            ask = await self._ask(endpoint, scope, receive, caller, call)
            async with aclosing(answers(endpoint, ask, call)) as found:
                async for each in found:
                    await events.event(each, names[type(each)])
            await events.end()

    async def _ask(self, endpoint: Endpoint, scope: Scope, receive: Receive, caller: Caller, call: Call) -> Ask:
        """Read what the request asks, without keeping its body."""
        body = await decoded(scope, await read_body(scope, receive, self._limit), self._limit)
        caller.body_came()
        call.deadline = Deadline.after(self._patience_s)
        if len(body) < LARGE:
            return read_ask(endpoint.ask, scope, body, self._most)
        return await asyncio.to_thread(read_ask, endpoint.ask, scope, body, self._most)


async def _json(endpoint: Endpoint, ask: Ask, call: Call) -> bytes:
    found = await answer(endpoint, ask, call)
    if endpoint.large:
        return (await asyncio.to_thread(found.model_dump_json)).encode()
    return found.model_dump_json().encode()


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
