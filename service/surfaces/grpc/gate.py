"""How a gRPC method is answered: through the gate, its errors as statuses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError

from service.deadline import Deadline
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.gate import Call, Gate

Request = TypeVar("Request")
Response = TypeVar("Response")
Failure = TypeVar("Failure", bound=BaseException)
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Request, Call], Awaitable[Response]]
Method = Callable[[Any, Request, Context], Awaitable[Response]]


def gated(surface: str, *, controls: bool = False) -> Callable[[Handler[Request, Response]], Method[Request, Response]]:
    """A servicer's method from ``handler(self, request, call)``.

    ``self._gate`` is the gate, and ``self._config.timeout_s`` the longest time to an answer. A method that ``controls``
    what is served is for callers with the token, which ``self._guard`` checks.
    """

    def decorate(handler: Handler[Request, Response]) -> Method[Request, Response]:
        @wraps(handler)
        async def method(self: Any, request: Request, context: Context) -> Response:
            gate: Gate = self._gate
            try:
                with gate.call(surface, call_deadline(context, self._config.timeout_s), context.peer()) as call:
                    if controls:
                        self._guard.check_token(_authorizations(context))
                    return await handler(self, request, call)
            except LectoriumError as error:
                await refuse(context, error)

        return method

    return decorate


def call_deadline(context: Context, latest_s: float) -> Deadline:
    """When a request that has just come must be answered: by the call's deadline, or ``latest_s`` seconds from now."""
    remaining_s = context.time_remaining()
    return Deadline.after(latest_s if remaining_s is None else min(remaining_s, latest_s))


def _authorizations(context: Context) -> list[str]:
    metadata = context.invocation_metadata() or ()
    return [str(value) for key, value in metadata if key == "authorization"]


async def refuse(context: Context, error: LectoriumError) -> NoReturn:
    """End the call with the error's status and message."""
    try:
        await context.abort(grpc.StatusCode[error.grpc_code], str(error))
    except grpc.aio.InternalError as failure:  # the caller hung up; the library takes a cancellation without a word
        raise asyncio.CancelledError from failure
    raise AssertionError("abort always raises")


def without_frames(error: Failure) -> Failure:
    """The same without its traceback and the errors that it came of, for their frames hold the request.

    The library keeps the error with the context of the call, and frames keep that: together they would last until
    the garbage collector comes, which is seldom.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class Legible:
    """Stands before the server while servicers are added to it: their methods refuse bytes that are no message.

    grpc itself would log a traceback for each and answer UNKNOWN. (An interceptor would do, at a third of what an
    empty call costs.)
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """What the generated ``add_..._to_server`` functions call."""
        self._server.add_generic_rpc_handlers([_Handlers(handler) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Called as well; it means nothing to an asyncio server."""


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: grpc.GenericRpcHandler) -> None:
        self._handlers = handlers
        self._known: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the call's method, or None where there is none."""
        method = handler_call_details.method
        if method in self._known:
            return self._known[method]
        handler: Any = self._handlers.service(handler_call_details)
        if handler is None:
            return None
        return self._known.setdefault(method, _legible(handler))


def _legible(handler: Any) -> Any:
    serializer = handler.response_serializer
    if handler.unary_unary:
        method = _legible_call(handler, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(method, response_serializer=serializer)
    if handler.unary_stream:
        method = _legible_call(handler, handler.unary_stream)
        return grpc.unary_stream_rpc_method_handler(method, response_serializer=serializer)
    return _legible_stream(handler) if handler.stream_stream else handler


def _legible_call(handler: Any, answer: Callable[[Any, Context], Awaitable[Any]]) -> Any:
    async def read_and_answer(data: bytes, context: Context) -> Any:
        request = _read(handler, data)
        if isinstance(request, InvalidArgument):
            await refuse(context, request)
        return await answer(request, context)

    async def method(data: bytes, context: Context) -> Any:
        try:
            return await read_and_answer(data, context)
        except grpc.aio.AbortError as error:
            del data
            raise without_frames(error) from None

    return method


def _legible_stream(handler: Any) -> Any:
    """The method gets the refusal in the request's place: it may have others to answer."""

    async def method(stream: AsyncIterator[bytes], context: Context) -> None:
        try:
            await handler.stream_stream((_read(handler, data) async for data in stream), context)
        except grpc.aio.AbortError as error:
            raise without_frames(error) from None

    return grpc.stream_stream_rpc_method_handler(method, response_serializer=handler.response_serializer)


def _read(handler: Any, data: bytes) -> Any:
    try:
        return handler.request_deserializer(data)
    except DecodeError as error:
        return InvalidArgument(f"the request's {len(data)} bytes cannot be read: {error}")
