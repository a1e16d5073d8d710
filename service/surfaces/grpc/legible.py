"""Requests whose bytes are no message: our methods get a refusal in their place, and answer with it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import InvalidArgument
from service.surfaces.grpc.gate import Context, without_frames


class Legible:
    """Takes the server's place while servicers are added to it, to read the requests of their methods itself.

    The library would log a traceback for bytes that are no message, and answer UNKNOWN. Here the method gets an
    `InvalidArgument` instead of the request, so that the refusal passes the gate like any other. (An interceptor could
    do it, but costs a third of an empty call.)
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Called by the generated ``add_..._to_server`` functions."""
        self._server.add_generic_rpc_handlers([_Handlers(handler) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Called by them, too; an asyncio server needs nothing of it."""


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: grpc.GenericRpcHandler) -> None:
        self._handlers = handlers
        self._known: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the call's method; None if there is no such method."""
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
    async def method(data: bytes, context: Context) -> Any:
        try:
            return await answer(_read(handler, data), context)
        except grpc.aio.AbortError as error:
            del data
            raise without_frames(error) from None

    return method


def _legible_stream(handler: Any) -> Any:
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
