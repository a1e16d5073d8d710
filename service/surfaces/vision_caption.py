"""Vision/Caption: one request, a response for each word, then the whole answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from protos.lectorium.v1 import vision_pb2 as pb
from service.surfaces.caption_visit import CaptionVisits
from service.surfaces.door import Door, Visit
from service.surfaces.grpc_door import Context
from service.surfaces.request_stream import RequestStream
from service.tasks.captioning import CaptionOptions, Word


async def caption(
    surface: str, door: Door, context: Context, request: pb.CaptionRequest, captioner: CaptionVisits, patience_s: float
) -> None:
    """Serve one call; an error is its status, after the words that came before."""

    async def answers(request: pb.CaptionRequest, visit: Visit) -> AsyncGenerator[pb.CaptionResponse]:
        asked = (request.image, request.model, request.version, read_options(request))
        async with aclosing(captioner.words(visit, *asked)) as found:
            async for each in found:
                said: dict[str, Any] = each.model_dump(exclude_none=True)
                event = {"word": said} if isinstance(each, Word) else {"answer": said}
                yield pb.CaptionResponse(id=request.id, **event)

    stream = RequestStream(surface, door, context, answers=answers, refusal=None, at_once=1, patience_s=patience_s)
    await stream.serve(_only(request))


def read_options(request: pb.CaptionRequest) -> CaptionOptions:
    """What is asked beside the image; what is not set is None, or "" of a text."""
    found = {name: getattr(request, name) for name in CaptionOptions._fields}
    optional = (field.name for field in request.DESCRIPTOR.fields if field.has_presence)
    return CaptionOptions(**{**found, **{name: None for name in optional if not request.HasField(name)}})


async def _only(request: pb.CaptionRequest) -> AsyncGenerator[pb.CaptionRequest]:
    yield request
