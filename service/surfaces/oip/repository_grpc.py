"""The model repository extension over gRPC."""

from collections.abc import Mapping
from typing import Any

from protos import open_inference_pb2 as pb
from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Call, Kind
from service.surfaces.grpc.gate import gated
from service.surfaces.oip.repository import check_repository, index, read_load, read_unload

SURFACE = "oip_grpc"


class RepositoryMethods:
    """The servicer's methods for the repository; `_engine` and `_config` are the servicer's."""

    _engine: Engine
    _config: Config

    @gated(SURFACE, Kind.READ)
    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, call: Call
    ) -> pb.RepositoryIndexResponse:
        """What is served, and what lies in the folder."""
        check_repository(request.repository_name)
        rows = index(await self._engine.control.index(), ready=request.ready)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**row) for row in rows])

    @gated(SURFACE, Kind.CONTROL)
    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, call: Call
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, or load it anew."""
        check_repository(request.repository_name)
        override = read_load(_values(request.parameters), self._config)
        await self._engine.control.load(request.model_name, override)
        return pb.RepositoryModelLoadResponse()

    @gated(SURFACE, Kind.CONTROL)
    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        """Take a model out."""
        check_repository(request.repository_name)
        read_unload(_values(request.parameters))
        await self._engine.control.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()


def _values(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> dict[str, Any]:
    """The parameters' values; None for one that has none."""
    kinds = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: kind and getattr(parameters[name], kind) for name, kind in kinds.items()}
