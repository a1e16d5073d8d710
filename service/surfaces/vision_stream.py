"""ClassifyStream: how its requests are numbered, answered and refused."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from protos.lectorium.v1 import vision_pb2 as pb
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.door import Door, Visit
from service.surfaces.grpc_door import Context
from service.surfaces.request_stream import RequestStream

# Enough to fill any model's batches. Each may be an image of the largest size: fewer than of tensors.
MAX_AT_ONCE = 64

Incoming = AsyncIterator[pb.ClassifyRequest | InvalidArgument]
Answer = Callable[[pb.ClassifyRequest, Visit], Awaitable[pb.ClassifyResponse]]


class Numbered(NamedTuple):
    """A request, or the refusal of one that could not be read, and what its answer is called."""

    id: str
    request: pb.ClassifyRequest | InvalidArgument


async def classify_stream(
    surface: str, door: Door, context: Context, requests: Incoming, answer: Answer, patience_s: float
) -> None:
    """Serve one call; ``answer`` answers one request."""

    async def answers(numbered: Numbered, visit: Visit) -> AsyncGenerator[pb.ClassifyStreamResponse]:
        id, request = numbered
        if isinstance(request, InvalidArgument):
            raise request
        response = await answer(request, visit)
        response.id = id
        yield pb.ClassifyStreamResponse(id=id, response=response)

    stream = RequestStream(
        surface,
        door,
        context,
        answers=answers,
        refusal=_refusal,
        at_once=MAX_AT_ONCE,
        patience_s=patience_s,
    )
    await stream.serve(_numbered(requests))


async def _numbered(requests: Incoming) -> AsyncGenerator[Numbered]:
    number = 0
    async for request in requests:
        number += 1
        yield Numbered((not isinstance(request, InvalidArgument) and request.id) or str(number), request)


def _refusal(numbered: Numbered, error: LectoriumError) -> pb.ClassifyStreamResponse:
    return pb.ClassifyStreamResponse(id=numbered.id, error=pb.Error(code=error.grpc_code, message=str(error)))
