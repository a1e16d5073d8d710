"""How a gRPC method is answered: through the door, its errors as statuses."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError

from service.errors import InvalidArgument, LectoriumError
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


class Legible(grpc.aio.ServerInterceptor):
    """Refuses bytes that are no message; grpc itself would log a traceback for each and answer UNKNOWN."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], call: Any) -> Any:
        """The handler of the call's method, or None where there is none."""
        if known := self._handlers.get(call.method):
            return known
        handler = await continuation(call)
        if handler is None or not handler.unary_unary:
            return handler
        return self._handlers.setdefault(call.method, _legible(handler))


def _legible(handler: Any) -> Any:
    async def method(data: bytes, context: Context) -> Any:
        try:
            request = handler.request_deserializer(data)
        except DecodeError as error:
            await refuse(context, InvalidArgument(f"the request's {len(data)} bytes cannot be read: {error}"))
        return await handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(method, response_serializer=handler.response_serializer)
