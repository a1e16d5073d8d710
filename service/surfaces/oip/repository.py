"""The model repository extension: what is served, and how to change it. REST and gRPC answer with this."""

from collections.abc import Mapping

from service.config import Config
from service.engine import Engine
from service.errors import InvalidArgument
from service.surfaces.oip.repository_config import read_load, read_unload


class RepositoryPlane:
    """The repository of ``engine``. The transports have checked that the caller may change it."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._config = config

    async def index(self, *, ready: bool, repository: str = "") -> list[dict[str, str]]:
        """RepositoryIndexResponse's models: those in the folder, or only those that are ``ready``.

        Raises:
            InvalidArgument: another repository is asked for.
        """
        _check_name(repository)
        return [row._asdict() for row in await self._engine.control.index() if row.state == "READY" or not ready]

    async def load(self, name: str, parameters: Mapping[str, object], repository: str = "") -> None:
        """Load a model, or load it again; returns once it is served.

        Raises:
            LectoriumError: the parameters are wrong, as `read_load` says, or as `Control.load`.
        """
        _check_name(repository)
        await self._engine.control.load(name, read_load(parameters, self._config))

    async def unload(self, name: str, parameters: Mapping[str, object], repository: str = "") -> None:
        """Stop serving a model.

        Raises:
            LectoriumError: the parameters are wrong, as `read_unload` says, or as `Control.unload`.
        """
        _check_name(repository)
        read_unload(parameters)
        await self._engine.control.unload(name)


def _check_name(repository: str) -> None:
    """There is only one repository, which has no name."""
    if repository:
        raise InvalidArgument(f"repository is {repository[:80]!r}; there is only one here, named ''")
