"""Control of the models by requests: load, unload and index."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from service.config import Config
from service.engine import scan
from service.engine.loader import Loader
from service.engine.override import NO_OVERRIDE, Override
from service.engine.repository import Repository, Row
from service.engine.version_reader import unknown_model
from service.errors import ControlRefused, QueueFull

# The most changes that requests may have under way at once; each load may hold files as large as a request.
MAX_LOADS = 16


class Control:
    """Loads and unloads models when a request asks for it, if the configuration allows that.

    A change that has begun is completed even if its caller leaves.
    """

    def __init__(self, config: Config, repository: Repository, loader: Loader) -> None:
        self._config = config
        self._repository = repository
        self._loader = loader
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, name: str, override: Override = NO_OVERRIDE) -> None:
        """Load the model, again if it is served.

        Raises:
            ControlRefused: this server loads nothing on request.
            QueueFull: too many loads are under way.
            UnknownModel: there is no such model in the repository.
            InvalidPackage: a version may not be served. What was served before still is.
            InvalidArgument: the override asks for what a card does not allow. What was served before still is.
        """
        self._check_allowed()
        if len(self._tasks) >= MAX_LOADS:
            raise QueueFull(f"{len(self._tasks)} loads are waiting; at most {MAX_LOADS} may; try again later")
        await self._complete(self._loader.refresh(name, override))

    async def unload(self, name: str) -> None:
        """Stop serving the model; requests that are already inside it end on the version they began with.

        Raises:
            ControlRefused: as `load`.
            UnknownModel: the model is neither served nor in the repository.
        """
        self._check_allowed()
        if name not in self._repository.names and not await asyncio.to_thread(
            scan.versions, self._config.repository, name
        ):
            raise unknown_model(name)
        await self._complete(self._loader.drop(name))

    async def index(self) -> list[Row]:
        """A row for each version that is served or is in the repository's folder."""
        folder = self._config.repository
        found, misplaced = await asyncio.to_thread(lambda: (scan.models(folder), scan.misplaced(folder)))
        named = {name: reason for name, reason in misplaced.items() if scan.is_name(name)}
        return self._repository.index(found, named)

    def stop(self) -> None:
        """Cancel the changes that are under way."""
        for task in self._tasks:
            task.cancel()

    def _check_allowed(self) -> None:
        if self._config.workers > 1:
            raise ControlRefused(
                f"this server has {self._config.workers} workers, and a request reaches only one of them; "
                "with model_control poll, all of them follow the repository's folder"
            )
        if self._config.model_control != "explicit":
            raise ControlRefused(
                f"model_control is {self._config.model_control}; "
                "models are loaded and unloaded on request only if it is explicit"
            )

    async def _complete(self, change: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(task)
        finally:
            del task  # the traceback of its exception refers to this frame: a cycle
