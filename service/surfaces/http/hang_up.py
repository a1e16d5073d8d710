"""Hang-ups under another HTTP server than ours: `Caller` learns of them from ASGI's disconnect message."""

import asyncio
from collections.abc import Callable

from service.surfaces.http.disconnect import ON_HANG_UP, ASGIApp, Message, Receive, Scope, Send


class HangUps:
    """Middleware that adds `ON_HANG_UP` to the scope of every HTTP request, as our own server does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(receive)
        scope[ON_HANG_UP] = request.on_hang_up
        try:
            await self._app(scope, request.receive, send)
        finally:
            request.end()


class _Request:
    """Waits for the disconnect after the body has been read; until then, the reader of the body receives it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._call: Callable[[], None] | None = None
        self._lost = False
        self._listening: asyncio.Task[None] | None = None

    def on_hang_up(self, call: Callable[[], None] | None) -> bool:
        """Set what to call when the caller hangs up; None for nothing. False if it has hung up already."""
        self._call = call
        return not self._lost

    async def receive(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._lost = True  # the reader of the body raises the error
        elif not message.get("more_body") and self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        return message

    def end(self) -> None:
        """Stop waiting: the request has been answered."""
        self._call = None
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._lost = True
        if self._call is not None:
            self._call()
