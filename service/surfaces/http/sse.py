"""Server-sent events: each is a JSON object, ``data: {...}``, some with a name, ``event: word``."""

import asyncio
from contextlib import suppress
from typing import Any

import orjson
from pydantic import BaseModel

from service.errors import CallerBehind, CallerGone, LectoriumError
from service.surfaces.http.disconnect import Message, Send
from service.surfaces.http.error import error_answer

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


def framed(data: bytes, name: str = "") -> bytes:
    """The bytes of one event; ``data`` is its JSON."""
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % data


class EventStream:
    """One response; its first event begins it.

    Args:
        send: of the response.
        patience_s: how many seconds an event may wait to be read.
        error: the name of an error's event; "" for an event without a name.
    """

    def __init__(self, send: Send, patience_s: float, error: str = "") -> None:
        self._send = send
        self._patience_s = patience_s
        self._error = error
        self._read = True
        self.begun = False

    async def event(self, message: dict[str, Any] | BaseModel, name: str = "") -> None:
        """Send one event; returns when the connection has room for more.

        Raises:
            CallerBehind: the caller does not read; no event can be sent after that.
        """
        if isinstance(message, BaseModel):
            data = message.model_dump_json().encode()
        else:
            data = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
        await self._write(data, name)

    async def fail(self, error: LectoriumError | asyncio.CancelledError) -> None:
        """Send the error as the last event, unless the caller has stopped reading or has gone."""
        if self._read and not isinstance(error, CallerGone):
            with suppress(CallerBehind):
                await self._write(error_answer(error)[2], self._error)
                await self.end()

    async def end(self) -> None:
        """End the response.

        Raises:
            CallerBehind: the caller has not read the events; the connection is closed without an end.
        """
        await self._send_in_time({"type": "http.response.body", "body": b""})

    async def _write(self, data: bytes, name: str) -> None:
        if not self.begun:
            self.begun = True
            await self._send_in_time({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._send_in_time({"type": "http.response.body", "body": framed(data, name), "more_body": True})

    async def _send_in_time(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send(message)
        except TimeoutError as error:
            self._read = False
            raise CallerBehind(f"the caller has read nothing for {self._patience_s:g} s") from error
