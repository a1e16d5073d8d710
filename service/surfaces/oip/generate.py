"""The generate extension over REST: ``generate`` answers once, ``generate_stream`` at every step."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import orjson

from service.config import Config
from service.surfaces.gate import Call
from service.surfaces.http.body import read_body
from service.surfaces.http.disconnect import Caller, Callers, Receive, Scope
from service.surfaces.http.encoding import decoded
from service.surfaces.http.error import JSON
from service.surfaces.http.routing import Answered, SendEvents
from service.surfaces.http.sse import EventStream
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.generate_messages import GenerateAnswer, read_generate
from service.surfaces.oip.infer_messages import InferResponse
from service.surfaces.oip.rest_messages import LARGE


class OipGenerate:
    """Answers ``POST /v2/models/{name}/generate`` and ``/generate_stream``; errors are the caller's to answer."""

    def __init__(self, plane: DataPlane, config: Config, callers: Callers) -> None:
        self._plane = plane
        self._limit = config.max_request_bytes
        self._callers = callers

    async def once(self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None) -> Answered:
        """What all steps gave."""
        message = None
        with self._callers.caller(scope) as caller:
            async with aclosing(self._ask(scope, receive, call, caller, name, version)) as responses:
                async for answer, response in responses:
                    message = answer.gather(response)
            return 200, [JSON], orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)

    async def stream(self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None) -> SendEvents:
        """An event for each step."""
        return partial(self._stream, call, scope, receive, name, version)

    async def _stream(
        self, call: Call, scope: Scope, receive: Receive, name: str, version: str | None, events: EventStream
    ) -> None:
        with self._callers.caller(scope) as caller:
            async with aclosing(self._ask(scope, receive, call, caller, name, version)) as responses:
                async for answer, response in responses:
                    await events.event(answer.event(response))
                await events.end()

    async def _ask(
        self, scope: Scope, receive: Receive, call: Call, caller: Caller, name: str, version: str | None
    ) -> AsyncGenerator[tuple[GenerateAnswer, InferResponse]]:
        """Each response, and what makes a message of it."""
        model = self._plane.model_for(call, name, version)
        body = await decoded(scope, await read_body(scope, receive, self._limit), self._limit)
        caller.body_came()
        large = len(body) >= LARGE
        request = await asyncio.to_thread(read_generate, body, model) if large else read_generate(body, model)
        answer = GenerateAnswer(model, request.id)
        async with aclosing(self._plane.stream(request, call)) as responses:
            async for response in responses:
                yield answer, response
