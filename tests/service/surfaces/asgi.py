"""An ASGI receive without a server: the messages given, then silence."""

import asyncio
from collections.abc import Iterable
from typing import Any

from service.surfaces.http.disconnect import Message

DISCONNECT: Message = {"type": "http.disconnect"}


class Receive:
    """Gives the messages one by one; `left` are those nobody asked for."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.left = list(messages)

    async def __call__(self) -> Message:
        if not self.left:
            await asyncio.Event().wait()
        return self.left.pop(0)


def body(*chunks: bytes) -> list[Message]:
    """A body in so many chunks, of which the last says that it is the last."""
    return [
        {"type": "http.request", "body": chunk, "more_body": i < len(chunks)} for i, chunk in enumerate(chunks, start=1)
    ]


def scope(**headers: str) -> dict[str, Any]:
    """A scope with those headers, ``_`` standing for ``-``."""
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}
