"""The model repository extension over gRPC."""

from protos import open_inference_pb2 as pb
from service.surfaces.gate import Call, Kind
from service.surfaces.grpc.gate import gated
from service.surfaces.oip.grpc_messages import parameter_values
from service.surfaces.oip.repository import RepositoryPlane

SURFACE = "oip_grpc"


class RepositoryMethods:
    """The servicer's methods for the repository; `_repository` is the servicer's."""

    _repository: RepositoryPlane

    @gated(SURFACE, Kind.READ)
    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, call: Call
    ) -> pb.RepositoryIndexResponse:
        """What is served, and what is in the folder."""
        rows = await self._repository.index(ready=request.ready, repository=request.repository_name)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**row) for row in rows])

    @gated(SURFACE, Kind.CONTROL)
    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, call: Call
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, or load it again."""
        parameters = parameter_values(request.parameters)
        await self._repository.load(request.model_name, parameters, request.repository_name)
        return pb.RepositoryModelLoadResponse()

    @gated(SURFACE, Kind.CONTROL)
    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        """Stop serving a model."""
        parameters = parameter_values(request.parameters)
        await self._repository.unload(request.model_name, parameters, request.repository_name)
        return pb.RepositoryModelUnloadResponse()
