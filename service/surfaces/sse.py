"""Server-sent events: one JSON object each, ``data: {...}``."""

import asyncio
from typing import Any

import orjson

from service.errors import CallerBehind, CallerGone, LectoriumError
from service.surfaces.disconnect import Send
from service.surfaces.http_error import error_answer

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class EventStream:
    """One response, which begins with its first event; ``patience_s`` is how long each may wait to be read."""

    def __init__(self, send: Send, patience_s: float) -> None:
        self._send = send
        self._patience_s = patience_s
        self._read = True
        self.begun = False

    async def event(self, message: dict[str, Any]) -> None:
        """Send one; returns when the connection has room for more.

        Raises:
            CallerBehind: the caller reads nothing; no event can be sent after that.
        """
        await self._write(orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY))

    async def fail(self, error: LectoriumError | asyncio.CancelledError) -> None:
        """End with the error as the last event, if anybody reads it."""
        if self._read and not isinstance(error, CallerGone):
            await self._write(error_answer(error)[2])
            await self.end()

    async def end(self) -> None:
        """There are no more."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                if not self.begun:
                    self.begun = True
                    await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                body = b"data: %b\n\n" % data
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError as error:
            self._read = False
            raise CallerBehind(f"the caller has read nothing for {self._patience_s:g} s") from error
