"""The requests of a stream, each with the id of its answer: the caller's, or its number."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from service.errors import InvalidArgument


class Numbered:
    """A request of a stream, or the refusal of one that could not be read.

    Attributes:
        id: of its answer: the one that the request has, or its number in the stream, from 1.
        request: the request.
    """

    def __init__(self, request: Any, number: int) -> None:
        self.id: str = (not isinstance(request, InvalidArgument) and request.id) or str(number)
        self.request = request

    async def begin(self) -> Any:
        """The request, as soon as it may be answered: here, at once."""
        return self.request


async def numbered(requests: AsyncIterator[Any]) -> AsyncGenerator[Numbered]:
    """The requests as they come."""
    number = 0
    async for request in requests:
        number += 1
        yield Numbered(request, number)
