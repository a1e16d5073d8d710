"""ModelStreamInfer: the requests of one gRPC call run side by side, and their answers interleave as they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import grpc

from protos import open_inference_pb2 as pb
from service.errors import CallerBehind, CallerGone, InvalidArgument, LectoriumError
from service.surfaces.door import Door, Visit
from service.surfaces.grpc_door import Context, refuse

FINAL = "triton_final_response"
# With it a caller takes an empty last response. It gets none: the last answer is known to be the last when it is given.
EMPTY_FINAL = "triton_enable_empty_final_response"
# Requests of one call that run at the same time. Enough to fill any model's batches; while they run the next one is
# not read, so that a caller that only sends is held back by its connection instead of filling the memory.
MAX_AT_ONCE = 256
_AS_STATUS = ("triton_grpc_error", "true")

Responses = Callable[[pb.ModelInferRequest, Visit], AsyncGenerator[pb.ModelInferResponse]]


class RequestStream:
    """One call. Errors are answered in-band, unless its metadata asks for a status, which then ends all of it.

    ``responses`` gives the answers of one request; ``patience_s`` is how long one waits for the caller to read it.
    """

    def __init__(self, surface: str, door: Door, context: Context, responses: Responses, patience_s: float) -> None:
        self._surface = surface
        self._door = door
        self._context = context
        self._responses = responses
        self._patience_s = patience_s
        self._in_band = _AS_STATUS not in {(key, value) for key, value in context.invocation_metadata() or ()}
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._writing = asyncio.Lock()
        self._broken: LectoriumError | None = None

    async def serve(self, requests: AsyncIterator[pb.ModelInferRequest | InvalidArgument]) -> None:
        """Answer all requests; an error among them is the refusal of one that could not be read."""
        try:
            async with asyncio.TaskGroup() as running:
                async for request in requests:
                    await self._room.acquire()
                    running.create_task(self._handle(request)).add_done_callback(lambda _: self._room.release())
        except* LectoriumError:
            pass  # it is what broke the stream
        if self._broken is not None:
            await refuse(self._context, self._broken)

    async def _handle(self, request: pb.ModelInferRequest | InvalidArgument) -> None:
        try:
            with self._door.visit(self._surface) as visit:
                await self._answer(request, visit)
        except LectoriumError as error:
            if not self._in_band and self._broken is None:
                self._broken = error
            if self._broken is not None:
                raise
            await self._write(_refusal(request, error))

    async def _answer(self, request: pb.ModelInferRequest | InvalidArgument, visit: Visit) -> None:
        if isinstance(request, InvalidArgument):
            raise request
        async with aclosing(self._responses(request, visit)) as responses:
            async for response in responses:
                await self._write(pb.ModelStreamInferResponse(infer_response=response))

    async def _write(self, response: pb.ModelStreamInferResponse) -> None:
        """Hand the answer to the connection, when it has room for it.

        Raises:
            CallerBehind, CallerGone: the caller reads nothing, or has hung up; no answer can be written after that.
        """
        async with self._writing:
            if self._broken is not None:
                raise self._broken
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._context.write(response)
            except TimeoutError as error:
                self._broken = CallerBehind(f"the caller has read nothing for {self._patience_s:g} s")
                raise self._broken from error
            except grpc.aio.BaseError as error:
                self._broken = CallerGone("the caller hung up")
                raise self._broken from error


def _refusal(request: pb.ModelInferRequest | InvalidArgument, error: LectoriumError) -> pb.ModelStreamInferResponse:
    """The error, with the request's id, where it could be read: the caller must know whose it is."""
    refused = pb.ModelInferResponse(id="" if isinstance(request, InvalidArgument) else request.id)
    refused.parameters[FINAL].bool_param = True
    return pb.ModelStreamInferResponse(error_message=str(error), infer_response=refused)
