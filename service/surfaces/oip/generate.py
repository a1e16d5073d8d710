"""The generate extension over REST: ``generate`` answers once, ``generate_stream`` at every step."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial

import orjson

from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Call, Gate
from service.surfaces.http.body import read_body
from service.surfaces.http.disconnect import Caller, Callers, Receive, Scope, Send
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import ANSWERED, JSON, Headers
from service.surfaces.http.sse import EventStream
from service.surfaces.oip.generate_json import GenerateAnswer, read_generate
from service.surfaces.oip.responses import Response, responses

SendEvents = Callable[[Send], Awaitable[None]]


class OipGenerate:
    """Answers ``POST /v2/models/{name}/generate`` and ``/generate_stream``; errors are the caller's to answer."""

    def __init__(self, surface: str, engine: Engine, gate: Gate, config: Config, callers: Callers) -> None:
        self._surface = surface
        self._engine = engine
        self._gate = gate
        self._limit = config.max_request_bytes
        self._patience_s = config.timeout_s
        self._callers = callers

    async def once(self, scope: Scope, receive: Receive, name: str, version: str | None) -> tuple[int, Headers, bytes]:
        """Status, headers and body: what all steps gave."""
        message = None
        with self._gate.call(self._surface) as call, self._callers.caller(scope) as caller:
            async with aclosing(self._ask(scope, receive, call, caller, name, version)) as responses:
                async for answer, response in responses:
                    message = answer.gather(response)
            return 200, [JSON], orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)

    async def stream(self, scope: Scope, receive: Receive, name: str, version: str | None) -> SendEvents:
        """What sends an event for each step; an error before the first one is raised, a later one is the last event."""
        return partial(self._stream, scope, receive, name, version)

    async def _stream(self, scope: Scope, receive: Receive, name: str, version: str | None, send: Send) -> None:
        events = EventStream(send, self._patience_s)
        try:
            with self._gate.call(self._surface) as call, self._callers.caller(scope) as caller:
                async with aclosing(self._ask(scope, receive, call, caller, name, version)) as responses:
                    async for answer, response in responses:
                        await events.event(answer.event(response))
                    await events.end()
        except ANSWERED as error:
            if not events.begun:
                raise
            await events.fail(error)

    async def _ask(
        self, scope: Scope, receive: Receive, call: Call, caller: Caller, name: str, version: str | None
    ) -> AsyncGenerator[tuple[GenerateAnswer, Response]]:
        """Each response, and what makes a message of it."""
        model = self._engine.repository.get(name, version)
        call.for_model(model)
        body = await decoded(scope, await read_body(scope, receive, self._limit), self._limit)
        caller.body_came()
        request = read_generate(body, model)
        answer = GenerateAnswer(model, request)
        async with aclosing(responses(self._engine, model, request.inputs, (), request.options, call)) as found:
            async for response in found:
                yield answer, response
