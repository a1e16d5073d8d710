"""Models come and go: read, verified, proved and warmed on a thread, then swapped in on the loop in one step."""

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from service.config import Config
from service.engine import scan
from service.engine.memory import give_back
from service.engine.model import Load, Model
from service.engine.override import NO_OVERRIDE, Override
from service.engine.repository import Repository, Row
from service.engine.signature import read_signature
from service.errors import ControlRefused, InvalidPackage, LectoriumError, QueueFull, UnknownModel
from service.package import CARD, Package, read_package
from service.package.bare import GRAPH, bare_package
from service.package.folder import read_card
from service.package.serving import VersionPolicy

# Loads asked for and not yet done; each may hold files as large as a request.
MAX_LOADS = 16
_MAX_REASON = 1000

T = TypeVar("T")
log = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """The versions of one model that are to be served, ascending, and what chose them."""

    models: list[Model]
    policy: VersionPolicy


class Loader:
    """Loads models into a repository and takes them out: one load at a time, all of a model's versions or none.

    Args:
        config: where the packages lie, and who may load them when.
        repository: what is served.
        load: makes a session.
        enter: called, on the loop, with each model that is served from now on.
        leave: called, on the loop, with each model that takes no more requests.
    """

    def __init__(
        self,
        config: Config,
        repository: Repository,
        load: Load,
        enter: Callable[[Model], None],
        leave: Callable[[Model], None],
    ) -> None:
        self._config = config
        self._repository = repository
        self._session = load
        self._enter = enter
        self._leave = leave
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._missing: set[str] = set()
        # Every model wanted at the start has been loaded, or taken out since.
        self.complete = asyncio.Event()

    async def start(self) -> None:
        """Load what is wanted at the start.

        Raises:
            InvalidPackage: the folder is missing; or, where nobody can load models later, it is empty or one of its
                packages may not be served. Elsewhere such a model is missing until it is loaded.
        """
        found = await asyncio.to_thread(scan.models, self._config.repository)
        if not found and self._config.model_control == "none":
            raise InvalidPackage(f"{self._config.repository}: no package <name>/<version>/ there")
        wanted = self._config.load_models
        self._missing = set(found if wanted is None else wanted)
        for name in sorted(self._missing):
            try:
                await self.refresh(name)
            except LectoriumError as error:
                if self._config.model_control == "none":
                    raise
                log.error("model %s: not loaded: %s", name, error)
                self._repository.failed(name, str(error))
        self._check_complete()
        await self._on_thread(give_back)

    async def stop(self) -> None:
        """End once the load at hand has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def load(self, name: str, override: Override = NO_OVERRIDE) -> None:
        """Load the model anew, on a caller's request; once begun, it ends whether the caller waits or not.

        Raises:
            ControlRefused: this server loads nothing on request.
            QueueFull: too many loads wait.
            UnknownModel: there is no such folder of packages.
            InvalidPackage, InvalidArgument: a version may not be served, or not as wanted; what was served is.
        """
        self._check_control()
        if len(self._tasks) >= MAX_LOADS:
            raise QueueFull(f"{len(self._tasks)} loads wait; try again later")
        await self._to_its_end(self.refresh(name, override))

    async def unload(self, name: str) -> None:
        """Take the model out, on a caller's request; requests inside end on the version they began with.

        Raises:
            ControlRefused: as `load`.
            UnknownModel: it is neither served nor in the folder.
        """
        self._check_control()
        if name not in self._repository.names and not await asyncio.to_thread(self._versions, name):
            raise _unknown(name)
        await self._to_its_end(self.drop(name))

    async def index(self) -> list[Row]:
        """A row for each version that is served or lies in the folder."""
        return self._repository.index(await asyncio.to_thread(scan.models, self._config.repository))

    async def refresh(
        self, name: str, override: Override = NO_OVERRIDE, changed: Collection[int] | None = None
    ) -> None:
        """Load the versions of the model that have ``changed``, None for all, and those that are not yet served.

        Raises:
            UnknownModel, InvalidPackage, InvalidArgument: as `load`.
        """
        async with self._lock(name):
            with self._repository.loading(name):
                kept = self._kept(name, changed)
                try:
                    loaded = await self._on_thread(partial(self._read, name, override, kept))
                except InvalidPackage as error:
                    if override == NO_OVERRIDE:  # else it says nothing of what lies in the folder
                        self._repository.failed(name, str(error))
                    raise
            self._swap(name, loaded)

    async def drop(self, name: str) -> None:
        """Take the model out, if it is in."""
        async with self._lock(name):
            self._let_go(self._repository.remove(name))
            self._missing.discard(name)
            self._check_complete()
            log.info("model %s: unloaded", name)

    def _swap(self, name: str, loaded: Loaded) -> None:
        gone = self._repository.swap(name, loaded.models, loaded.policy)
        for model in loaded.models:
            self._enter(model)
        self._let_go(gone)
        self._missing.discard(name)
        self._check_complete()
        log.info("model %s: serving %s (%s)", name, [model.version for model in loaded.models], loaded.policy)

    def _let_go(self, gone: list[Model]) -> None:
        for model in gone:
            self._leave(model)
            # The last request inside may end on any thread.
            weakref.finalize(model, self._gone).atexit = False

    def _gone(self) -> None:
        with suppress(RuntimeError):  # the thread has ended, and all will
            self._thread.submit(give_back)

    def _check_complete(self) -> None:
        if not self._missing:
            self.complete.set()

    def _kept(self, name: str, changed: Collection[int] | None) -> dict[int, Model]:
        if changed is None or name not in self._repository.names:
            return {}
        served = {int(model.version): model for model in self._repository.select(name)}
        return {version: model for version, model in served.items() if version not in changed}

    def _read(self, name: str, override: Override, kept: Mapping[int, Model]) -> Loaded:
        """On the loader's thread: the versions that are to be served, those not kept verified, proved and warm."""
        if not scan.is_name(name):
            raise _unknown(name)
        failure: LectoriumError
        with override.repository(self._config.repository, name) as folder:
            try:
                return self._read_versions(scan.versions(folder, name), name, override, kept)
            except OSError as error:  # somebody copies or removes it meanwhile
                failure = InvalidPackage(f"{name}: {error.strerror}")
            except LectoriumError as error:
                # A caller knows the repository's folders by their names only.
                failure = type(error)(str(error).replace(f"{folder}{os.sep}", "")[:_MAX_REASON])
        # Raised out here, it holds none of the frames that hold what was loaded before it.
        give_back()
        raise failure

    def _read_versions(
        self, paths: Mapping[int, Path], name: str, override: Override, kept: Mapping[int, Model]
    ) -> Loaded:
        if not paths:
            raise _unknown(name)
        policy = override.version_policy or _card_policy(paths[max(paths)]) or self._config.version_policy
        chosen = policy.choose(list(paths))
        if not chosen:
            raise InvalidPackage(f"{name}: version policy {policy} chooses none of {list(paths)}")
        models = [kept.get(version) or self._model(paths[version], override) for version in chosen]
        for model in models:
            override.accept(model, policy)
        return Loaded(models, policy)

    def _model(self, folder: Path, override: Override) -> Model:
        return Model(override.applied(self._package(folder)), self._session)

    def _package(self, folder: Path) -> Package:
        if (folder / CARD).exists() or not (folder / GRAPH).exists():
            return read_package(folder)
        return bare_package(folder, read_signature(folder / GRAPH), self._config.default_max_batch)

    def _versions(self, name: str) -> dict[int, Path]:
        return scan.versions(self._config.repository, name)

    def _check_control(self) -> None:
        if self._config.workers > 1:
            raise ControlRefused(
                f"{self._config.workers} workers serve here, and none loads or unloads for the others; "
                "model_control poll does it for all"
            )
        if self._config.model_control != "explicit":
            raise ControlRefused(
                "models are loaded and unloaded on request where model_control is explicit; "
                f"it is {self._config.model_control} here"
            )

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(task)
        finally:
            del task  # its exception's trace leads to this frame, and from here back to it


def _card_policy(folder: Path) -> VersionPolicy | None:
    bare = (folder / GRAPH).exists() and not (folder / CARD).exists()
    return None if bare else read_card(folder / CARD).serving.version_policy


def _unknown(name: str) -> UnknownModel:
    return UnknownModel(f"no model {name[:80]!r} in the repository")
