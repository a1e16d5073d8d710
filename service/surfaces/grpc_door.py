"""How a gRPC method is answered: through the door, its errors as statuses."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc

from service.errors import LectoriumError
from service.surfaces.door import Door, Visit

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Request, Visit], Awaitable[Response]]
Method = Callable[[Any, Request, Context], Awaitable[Response]]


def through_door(surface: str) -> Callable[[Handler[Request, Response]], Method[Request, Response]]:
    """A servicer's method from ``handler(self, request, visit)``; ``self._door`` is the door."""

    def decorate(handler: Handler[Request, Response]) -> Method[Request, Response]:
        @wraps(handler)
        async def method(self: Any, request: Request, context: Context) -> Response:
            door: Door = self._door
            try:
                with door.visit(surface) as visit:
                    return await handler(self, request, visit)
            except LectoriumError as error:
                await refuse(context, error)

        return method

    return decorate


async def refuse(context: Context, error: LectoriumError) -> NoReturn:
    """End the call with the error's status and message."""
    await context.abort(grpc.StatusCode[error.grpc_code], str(error))
    raise AssertionError("abort always raises")
