"""`lectorium.v1.Vision`: the tasks over gRPC."""

from protos.lectorium.v1 import vision_pb2 as pb
from protos.lectorium.v1.vision_pb2_grpc import VisionServicer
from service.surfaces.door import Door, Visit
from service.surfaces.grpc_door import through_door
from service.tasks.classify import Classification, Classifier

SURFACE = "vision_grpc"


class VisionGrpc(VisionServicer):
    """Image files in, answers in words."""

    def __init__(self, classifier: Classifier, door: Door) -> None:
        self._classify = classifier
        self._door = door

    @through_door(SURFACE)
    async def Classify(self, request: pb.ClassifyRequest, visit: Visit) -> pb.ClassifyResponse:  # noqa: N802
        """The most probable labels of one image."""
        model = self._classify.model(request.model, request.version)
        visit.of(model)
        top_k = request.top_k if request.HasField("top_k") else None
        answer = await self._classify(request.image, model.name, model.version, top_k)
        timing = answer.timing
        visit.timed(timing.queue_ms / 1e3, timing.compute_ms / 1e3, timing.decode_ms / 1e3)
        return write_answer(answer)


def write_answer(answer: Classification) -> pb.ClassifyResponse:
    """The answer as a message: field for field the same."""
    return pb.ClassifyResponse(
        model=answer.model,
        version=answer.version,
        labels=[pb.Label(**label.model_dump()) for label in answer.labels],
        timing=pb.Timing(**answer.timing.model_dump()),
    )
