"""Answering gRPC calls behind the gate, with errors as statuses."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from inspect import isasyncgenfunction
from typing import Any, NoReturn, TypeVar

import grpc

from service.deadline import Deadline
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.client import GrpcClient
from service.surfaces.gate import Call, Gate, Kind

Request = TypeVar("Request")
Response = TypeVar("Response")
Failure = TypeVar("Failure", bound=BaseException)
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Request, Call], Awaitable[Response]]
Method = Callable[[Any, Request, Context], Awaitable[Response]]


def gated(surface: str, kind: Kind) -> Callable[[Handler[Request, Response]], Method[Request, Response]]:
    """Turn ``handler(self, request, call)`` into a servicer's method of one request and one answer.

    ``self`` has the gate as ``_gate``, and the longest time to an answer as ``_config.timeout_s``.
    """

    def decorate(handler: Handler[Request, Response]) -> Method[Request, Response]:
        @wraps(handler)
        async def method(self: Any, request: Request, context: Context) -> Response:
            gate: Gate = self._gate
            deadline = call_deadline(context, self._config.timeout_s)
            try:
                with gate.call(surface, GrpcClient(context), kind, deadline) as call:
                    return await handler(self, readable(request), call)
            except LectoriumError as error:
                await refuse(context, error)

        return method

    return decorate


class GatedReads:
    """One of the library's own servicers. Each of its calls, streams included, passes the gate as one read."""

    def __init__(self, servicer: object, gate: Gate, surface: str) -> None:
        self._servicer = servicer
        self._gate = gate
        self._surface = surface

    def __getattr__(self, name: str) -> Any:
        """The servicer's method of that name, behind the gate."""
        method = getattr(self._servicer, name)
        return self._generator(method) if isasyncgenfunction(method) else self._coroutine(method)

    def _coroutine(self, method: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def gated(request: Any, context: Context) -> Any:
            try:
                with self._call(context) as call:
                    try:
                        return await method(readable(request), context)
                    except grpc.aio.AbortError as error:
                        call.code = context.code().name
                        aborted = error
            except LectoriumError as error:
                await refuse(context, error)
            raise aborted  # the library insists on the same error

        return gated

    def _generator(self, method: Callable[[Any, Context], AsyncGenerator[Any]]) -> Any:
        async def gated(requests: Any, context: Context) -> AsyncIterator[Any]:
            with self._call(context):
                async with aclosing(method(requests, context)) as responses:
                    async for response in responses:
                        yield response

        return gated

    def _call(self, context: Context) -> Call:
        return self._gate.call(self._surface, GrpcClient(context), Kind.READ)


def readable(request: Request | InvalidArgument) -> Request:
    """The request, unless its bytes were no message: then `Legible` puts the refusal in its place.

    Raises:
        InvalidArgument: the refusal. A copy: one that the frames hold would keep them until the garbage collector runs.
    """
    if isinstance(request, InvalidArgument):
        raise InvalidArgument(str(request))
    return request


def call_deadline(context: Context, longest_s: float) -> Deadline:
    """When a request that has just arrived must be answered: by the call's deadline, at most ``longest_s`` from now."""
    remaining_s = context.time_remaining()
    return Deadline.after(longest_s if remaining_s is None else min(remaining_s, longest_s))


async def refuse(context: Context, error: LectoriumError) -> NoReturn:
    """End the call with the error's status and message."""
    try:
        await context.abort(grpc.StatusCode[error.grpc_code], str(error))
    except grpc.aio.InternalError as failure:  # the caller hung up; the library logs nothing for a cancellation
        raise asyncio.CancelledError from failure
    raise AssertionError("abort always raises")


def without_frames(error: Failure) -> Failure:
    """The same error without its traceback and causes, whose frames hold the request.

    The library stores the error in the call's context, which the frames refer to. That cycle would live until the
    garbage collector runs, which is seldom.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
