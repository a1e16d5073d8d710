"""A stream whose requests are answered in order, such as the frames of a video; frames that come too late are skipped.

Several frames run at the same time, and each answer waits until those of the frames before it are written. A frame
that is ``skippable`` begins only then, and if a newer frame arrives first, it is answered with `Skipped`: so a caller
that sends faster than the model answers gets answers about what it sent last.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

from service.errors import InvalidArgument, Skipped
from service.surfaces.grpc.numbered import Numbered
from service.surfaces.grpc.request_stream import RequestStream

Response = TypeVar("Response")

# The fields of a frame's message: the request that is answered, and whether it may be skipped.
REQUEST = "request"
SKIPPABLE = "skippable"
# Frames that may not be skipped and are not answered yet: an answer that waits for its turn may be a large picture.
AT_ONCE = 8
# Frames, skipped ones too, that are read before the first of them is answered. Skipped ones hold no image.
MOST_UNANSWERED = 1024
_ECHO = 80  # characters of another frame's id in a message


class Frame(Numbered):
    """One request of such a stream.

    Attributes:
        answered: set when its last answer is written, or will never be.
    """

    def __init__(self, message: Any, number: int, turn: asyncio.Event, room: asyncio.Semaphore) -> None:
        unreadable = isinstance(message, InvalidArgument)
        super().__init__(message if unreadable else getattr(message, REQUEST), number)
        self.skippable: bool = not unreadable and getattr(message, SKIPPABLE)
        self.answered = asyncio.Event()
        self._turn = turn
        self._room = room
        self._begun = False
        self._newer = ""

    async def begin(self) -> Any:
        """The request, as soon as it may run.

        Raises:
            Skipped: a newer frame arrived before that.
        """
        if self.skippable:
            await self.turn()
        if self._newer:
            raise Skipped(f"frame {self.id[:_ECHO]!r} was skipped: {self._newer[:_ECHO]!r} arrived before its turn")
        self._begun = True
        return self.request

    async def turn(self) -> None:
        """Wait until every frame before it is answered."""
        await self._turn.wait()

    def overtaken(self, newer: str) -> None:
        """Skip the frame, if it may be skipped and has not begun; ``newer`` is the id of the one that has arrived."""
        if self.skippable and not self._begun:
            self._newer, self.request = newer, None

    def end(self) -> None:
        """Let the next frame be answered."""
        self.answered.set()
        if not self.skippable:
            self._room.release()


async def frames(messages: AsyncIterator[Any], at_once: int = AT_ONCE) -> AsyncGenerator[Frame]:
    """The frames as they come; at most ``at_once`` that may not be skipped are unanswered at any time."""
    room = asyncio.Semaphore(at_once)
    turn = asyncio.Event()
    turn.set()
    last: Frame | None = None
    number = 0
    async for message in messages:
        number += 1
        frame = Frame(message, number, turn, room)
        if last is not None:
            last.overtaken(frame.id)
        if not frame.skippable:
            await room.acquire()
        yield frame
        last, turn = frame, frame.answered


class FrameStream(RequestStream[Frame, Response]):
    """One call whose requests are `frames`."""

    async def _handle(self, request: Frame) -> None:
        try:
            await super()._handle(request)
        finally:
            request.end()

    async def _respond(self, request: Frame, response: Response) -> None:
        await request.turn()
        await super()._respond(request, response)
