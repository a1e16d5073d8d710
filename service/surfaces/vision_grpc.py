"""`lectorium.v1.Vision`: the tasks over gRPC."""

from protos.lectorium.v1 import vision_pb2 as pb
from protos.lectorium.v1.vision_pb2_grpc import VisionServicer
from service.config import Config
from service.surfaces.caption_visit import CaptionVisits
from service.surfaces.classify_visit import ClassifyVisits
from service.surfaces.door import Door, Visit
from service.surfaces.grpc_door import Context, through_door
from service.surfaces.text_visit import TextVisits
from service.surfaces.vision_caption import caption
from service.surfaces.vision_stream import Incoming, classify_stream
from service.tasks.classification import Classification, ClassificationBatch, ClassifyOptions
from service.tasks.tasks import Tasks

SURFACE = "vision_grpc"

Asked = pb.ClassifyRequest | pb.ClassifyBatchRequest | pb.ClassifyTextRequest | pb.ClassifyTextBatchRequest


class VisionGrpc(VisionServicer):
    """Image files or texts in, answers in words."""

    def __init__(self, tasks: Tasks, door: Door, config: Config) -> None:
        self._classify = ClassifyVisits(tasks.classifier)
        self._captioner = CaptionVisits(tasks.captioner)
        self._texts = TextVisits(tasks.text_classifier)
        self._door = door
        self._config = config

    @through_door(SURFACE)
    async def Classify(self, request: pb.ClassifyRequest, visit: Visit) -> pb.ClassifyResponse:  # noqa: N802
        """The most probable labels of one image."""
        return await self._answer(request, visit)

    @through_door(SURFACE)
    async def ClassifyBatch(  # noqa: N802
        self, request: pb.ClassifyBatchRequest, visit: Visit
    ) -> pb.ClassifyBatchResponse:
        """Those of each of several."""
        asked = (request.model, request.version, read_options(request))
        return write_batch(await self._classify.batch(visit, request.images, *asked), request.id)

    async def ClassifyStream(self, requests: Incoming, context: Context) -> None:  # noqa: N802
        """Images as they come, each answered when it is done."""
        await classify_stream(SURFACE, self._door, context, requests, self._answer, self._config.timeout_s)

    async def Caption(self, request: pb.CaptionRequest, context: Context) -> None:  # noqa: N802
        """The words of a sentence about one image, then the whole answer."""
        await caption(SURFACE, self._door, context, request, self._captioner, self._config.timeout_s)

    @through_door(SURFACE)
    async def ClassifyText(self, request: pb.ClassifyTextRequest, visit: Visit) -> pb.ClassifyTextResponse:  # noqa: N802
        """The most probable labels of one text."""
        asked = (request.model, request.version, read_top_k(request))
        answer = await self._texts.one(visit, request.text, *asked)
        return pb.ClassifyTextResponse(**answer.model_dump(), id=request.id)

    @through_door(SURFACE)
    async def ClassifyTextBatch(  # noqa: N802
        self, request: pb.ClassifyTextBatchRequest, visit: Visit
    ) -> pb.ClassifyTextBatchResponse:
        """Those of each of several."""
        asked = (request.model, request.version, read_top_k(request))
        answer = await self._texts.batch(visit, request.texts, *asked)
        return pb.ClassifyTextBatchResponse(**answer.model_dump(), id=request.id)

    async def _answer(self, request: pb.ClassifyRequest, visit: Visit) -> pb.ClassifyResponse:
        asked = (request.model, request.version, read_options(request))
        return write_answer(await self._classify.one(visit, request.image, *asked), request.id)


def read_top_k(request: Asked) -> int | None:
    """How many labels are asked for; None where nothing is said."""
    return request.top_k if request.HasField("top_k") else None


def read_options(request: pb.ClassifyRequest | pb.ClassifyBatchRequest) -> ClassifyOptions:
    """What is asked beside the images."""
    return ClassifyOptions(read_top_k(request), request.views, request.explain, request.explain_label, request.layer)


def write_answer(answer: Classification, id: str) -> pb.ClassifyResponse:
    """The answer as a message: field for field the same, and what is None is not set."""
    return pb.ClassifyResponse(**answer.model_dump(exclude_none=True), id=id)


def write_batch(answer: ClassificationBatch, id: str) -> pb.ClassifyBatchResponse:
    """The answers as a message."""
    return pb.ClassifyBatchResponse(**answer.model_dump(exclude_none=True), id=id)
