"""A response of BentoML's app that is written event by event."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from pydantic import BaseModel
from starlette.responses import Response

from service.errors import LectoriumError
from service.surfaces.disconnect import Receive, Scope, Send
from service.surfaces.sse import EventStream
from service.surfaces.task_door import Refusal


class EventResponse(Response):
    """Each of the ``messages`` is an event of ``events``, of the name its type has in ``names``.

    The door's visit lasts until the last of them; an error among them is answered there.

    Raises:
        Refusal: when it is called, of an error among the messages.
    """

    def __init__(
        self, events: EventStream, messages: AsyncGenerator[BaseModel], names: Mapping[type[BaseModel], str]
    ) -> None:
        super().__init__()
        self._events = events
        self._messages = messages
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the response."""
        try:
            async with aclosing(self._messages) as messages:
                async for message in messages:
                    await self._events.event(message, self._names[type(message)])
            await self._events.end()
        except LectoriumError as error:
            raise Refusal(error) from error
        if self.background is not None:
            await self.background()
