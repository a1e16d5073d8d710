"""The model repository extension over gRPC."""

from collections.abc import Mapping
from typing import Any

from protos import open_inference_pb2 as pb
from service.config import Config
from service.engine import Engine
from service.surfaces.door import Door, Visit
from service.surfaces.grpc.door import through_door
from service.surfaces.http.control_guard import ControlGuard
from service.surfaces.oip.repository import check_repository, index, read_load, read_unload

SURFACE = "oip_grpc"


class RepositoryMethods:
    """The servicer's methods for the repository; `_engine`, `_door`, `_config` and `_guard` are the servicer's."""

    _engine: Engine
    _door: Door
    _config: Config
    _guard: ControlGuard

    @through_door(SURFACE)
    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, visit: Visit
    ) -> pb.RepositoryIndexResponse:
        """What is served, and what lies in the folder."""
        check_repository(request.repository_name)
        rows = index(await self._engine.loader.index(), ready=request.ready)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**row) for row in rows])

    @through_door(SURFACE, controls=True)
    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, visit: Visit
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, or load it anew."""
        check_repository(request.repository_name)
        override = read_load(_values(request.parameters), self._config)
        await self._engine.loader.load(request.model_name, override)
        return pb.RepositoryModelLoadResponse()

    @through_door(SURFACE, controls=True)
    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, visit: Visit
    ) -> pb.RepositoryModelUnloadResponse:
        """Take a model out."""
        check_repository(request.repository_name)
        read_unload(_values(request.parameters))
        await self._engine.loader.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()


def _values(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> dict[str, Any]:
    """The parameters' values; None for one that has none."""
    kinds = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: kind and getattr(parameters[name], kind) for name, kind in kinds.items()}
