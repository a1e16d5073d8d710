"""The Open Inference Protocol over gRPC: its messages to the data plane and back."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from google.protobuf.json_format import ParseDict

from protos import open_inference_pb2 as pb
from protos.open_inference_pb2_grpc import GRPCInferenceServiceServicer
from service.config import Config
from service.errors import UnknownModel
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.grpc.gate import Context, gated, readable
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.grpc_messages import read_request, write_response
from service.surfaces.oip.repository_grpc import RepositoryMethods
from service.surfaces.oip.stream import FINAL, StreamRequest, infer_stream

SURFACE = "oip_grpc"


class OipGrpc(RepositoryMethods, GRPCInferenceServiceServicer):
    """`inference.GRPCInferenceService`, answered by the data plane."""

    def __init__(self, plane: DataPlane, gate: Gate, config: Config) -> None:
        self._plane = plane
        self._repository = plane.repository
        self._gate = gate
        self._config = config

    @gated(SURFACE, Kind.INFERENCE)
    async def ModelInfer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:  # noqa: N802
        """Tensors in, tensors out."""
        model = self._plane.model_for(call, request.model_name, request.model_version)
        return write_response(await self._plane.infer(read_request(request, model), call))

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[StreamRequest], context: Context
    ) -> None:
        """Requests as they arrive, each answered as often as its model does."""
        await infer_stream(SURFACE, self._gate, context, self._responses, self._config.timeout_s).serve(requests)

    async def _responses(self, request: StreamRequest, call: Call) -> AsyncGenerator[pb.ModelStreamInferResponse]:
        asked = readable(request)
        model = self._plane.model_for(call, asked.model_name, asked.model_version)
        async with aclosing(self._plane.stream(read_request(asked, model), call)) as responses:
            async for response in responses:
                message = write_response(response)
                message.parameters[FINAL].bool_param = response.final
                yield pb.ModelStreamInferResponse(infer_response=message)

    @gated(SURFACE, Kind.READ)
    async def ServerLive(self, request: pb.ServerLiveRequest, call: Call) -> pb.ServerLiveResponse:  # noqa: N802
        """True, where it can be answered at all."""
        return pb.ServerLiveResponse(live=True)

    @gated(SURFACE, Kind.READ)
    async def ServerReady(self, request: pb.ServerReadyRequest, call: Call) -> pb.ServerReadyResponse:  # noqa: N802
        """Whether requests are taken."""
        return pb.ServerReadyResponse(ready=self._plane.server_ready()["ready"])

    @gated(SURFACE, Kind.READ)
    async def ModelReady(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:  # noqa: N802
        """Whether requests for one model are taken; they are not for one that is not served."""
        try:
            return pb.ModelReadyResponse(ready=self._plane.model_ready(request.name, request.version)["ready"])
        except UnknownModel:
            return pb.ModelReadyResponse(ready=False)

    @gated(SURFACE, Kind.READ)
    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, call: Call
    ) -> pb.ServerMetadataResponse:
        """Name, version and extensions."""
        return ParseDict(self._plane.server_metadata(), pb.ServerMetadataResponse())

    @gated(SURFACE, Kind.READ)
    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, call: Call
    ) -> pb.ModelMetadataResponse:
        """The model's versions and tensors."""
        return ParseDict(self._plane.model_metadata(request.name, request.version), pb.ModelMetadataResponse())

    @gated(SURFACE, Kind.READ)
    async def ModelConfig(self, request: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:  # noqa: N802
        """How the model is served."""
        config = self._plane.model_config(request.name, request.version)
        return ParseDict({"config": config}, pb.ModelConfigResponse())

    @gated(SURFACE, Kind.READ)
    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, call: Call
    ) -> pb.ModelStatisticsResponse:
        """What the models have done since they were loaded."""
        found = self._plane.model_statistics(request.name, request.version)
        return ParseDict(found, pb.ModelStatisticsResponse())
