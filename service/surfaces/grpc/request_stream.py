"""Many requests in one gRPC call: they run side by side, and their answers interleave as they come."""

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
        surface: what the gate counts its requests under.
        gate: the gate each request passes.
        context: the call's.
        answers: the answers of one request; a request may also be one that could not be read, to be refused there.
        refusal: the answer of a request that is refused; None: the first error is the status that ends the call, and
            all of its requests.
        at_once: requests of the call that run at the same time. While they run the next one is not read, so that a
            caller that only sends is held back by its connection instead of filling the memory.
        patience_s: how long a request may take to be answered, and an answer waits for the caller to read it.
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
            pass  # it is what broke the stream
        except* grpc.aio.BaseError:
            pass  # nothing can be read any more: the server has stopped before this task was cancelled
        await self._end()

    async def serve_one(self, request: Request) -> None:
        """Answer the one request that the call brings; a group of tasks would keep it after it is refused."""
        with suppress(LectoriumError):  # it is what broke the stream
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
                        await self._write(answer)
        except LectoriumError as error:
            if self._refusal is None and self._broken is None:
                self._broken = error
            if self._refusal is None or self._broken is not None:
                raise
            await self._write(self._refusal(request, error))

    async def _write(self, response: Response) -> None:
        """Hand the answer to the connection, when it has room for it.

        Raises:
            CallerBehind, CallerGone: the caller reads nothing, or has hung up; no answer can be written after that.
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

        Where the first write, which would send them, is given up, the library does not know that they are sent: it
        would send them again with the status, which fails, and the call would never end.
        """
        if not self._begun:
            self._begun = True
            await self._context.send_initial_metadata(())
