"""Many requests in one gRPC call: they run at the same time, and each answer is sent as soon as it is there."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

import grpc

from service.errors import CallerBehind, CallerGone, LectoriumError
from service.surfaces.client import GrpcClient
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.grpc.gate import Context, call_deadline, refuse, without_frames

Request = TypeVar("Request")
Response = TypeVar("Response")
Answers = Callable[[Request, Call], AsyncGenerator[Response]]
Refusal = Callable[[Request, LectoriumError], Response]


class RequestStream(Generic[Request, Response]):
    """One call.

    Args:
        surface: the surface of its requests, for the gate.
        gate: the gate that each request passes.
        context: the call's context.
        answers: yields the answers to one request. It has to refuse a request that could not be read (see `readable`).
        refusal: makes an answer of an error; None: the first error ends the call with its status, and all its requests.
        at_once: how many requests of the call run at the same time. While they do, the next one is not read, so a
            caller that only sends is held back by its connection instead of filling the memory.
        patience_s: how long a request may take, and how long an answer may wait for the caller to read it.
    """

    def __init__(
        self,
        surface: str,
        gate: Gate,
        context: Context,
        *,
        answers: Answers[Request, Response],
        refusal: Refusal[Request, Response] | None,
        at_once: int,
        patience_s: float,
    ) -> None:
        self._surface = surface
        self._gate = gate
        self._context = context
        self._answers = answers
        self._refusal = refusal
        self._room = asyncio.Semaphore(at_once)
        self._patience_s = patience_s
        self._writing = asyncio.Lock()
        self._begun = False
        self._broken: LectoriumError | None = None

    async def serve(self, requests: AsyncIterator[Request]) -> None:
        """Answer all requests."""
        try:
            async with asyncio.TaskGroup() as running:
                async for request in requests:
                    await self._room.acquire()
                    running.create_task(self._handle(request)).add_done_callback(lambda _: self._room.release())
        except* LectoriumError:
            pass  # the error that broke the stream
        except* grpc.aio.BaseError:
            pass  # nothing can be read any more: the server stopped before it cancelled this task
        await self._end()

    async def serve_one(self, request: Request) -> None:
        """Answer the only request of a call. (A task group would keep it in memory after it is refused.)"""
        with suppress(LectoriumError):  # the error that broke the stream
            await self._handle(request)
        await self._end()

    async def _end(self) -> None:
        if self._broken is not None:
            await refuse(self._context, without_frames(self._broken))

    async def _handle(self, request: Request) -> None:
        try:
            deadline = call_deadline(self._context, self._patience_s)
            with self._gate.call(self._surface, GrpcClient(self._context), Kind.INFERENCE, deadline) as call:
                async with aclosing(self._answers(request, call)) as answers:
                    async for answer in answers:
                        await self._respond(request, answer)
        except LectoriumError as error:
            if self._refusal is None and self._broken is None:
                self._broken = error
            if self._refusal is None or self._broken is not None:
                raise
            await self._respond(request, self._refusal(request, error))

    async def _respond(self, request: Request, response: Response) -> None:
        """Write an answer to that request, as soon as it is there."""
        await self._write(response)

    async def _write(self, response: Response) -> None:
        """Wait until the connection has room for the answer, and write it.

        Raises:
            CallerBehind, CallerGone: the caller does not read, or has hung up; no answer can be written after that.
        """
        async with self._writing:
            if self._broken is not None:
                raise self._broken
            try:
                await self._begin()
                async with asyncio.timeout(self._patience_s):
                    await self._context.write(response)
            except TimeoutError as error:
                self._broken = CallerBehind(f"the caller has read nothing for {self._patience_s:g} s")
                raise self._broken from error
            except grpc.aio.BaseError as error:
                self._broken = CallerGone("the caller hung up")
                raise self._broken from error

    async def _begin(self) -> None:
        """Send the headers, once.

        The first write would send them, too. But if that write times out, the library does not know that they are sent,
        and sends them again with the status; that fails, and the call never ends.
        """
        if not self._begun:
            self._begun = True
            await self._context.send_initial_metadata(())
