"""The life of models: they are read and warmed on threads, measured, and swapped in on the event loop in one step."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from service import metrics
from service.config import Config
from service.engine import scan
from service.engine.cores import usable_cores
from service.engine.load_threads import LoadThreads
from service.engine.memory import big_blocks_returned, give_back
from service.engine.model import Model
from service.engine.override import NO_OVERRIDE, Override
from service.engine.repository import Repository
from service.engine.version_reader import VersionReader, Versions, unknown_model
from service.errors import InvalidPackage, LectoriumError

# How long the end of the process waits for loads that still run.
END_S = 5.0
# The most characters of one message about all failures of a start; the log has each failure in full.
_MAX_FAILURES = 30_000

log = logging.getLogger(__name__)


class Loader:
    """Loads models into a repository and takes them out; of each model all versions, or none if one fails.

    As many models are loaded side by side as there are cores. How quick their graphs are is measured one by one.

    Args:
        config: where the packages are, and what is loaded at the start.
        repository: what is served.
        reader: reads a model's versions.
        enter: called on the event loop with each model that is served from now on.
        leave: called on the event loop with each model that takes no more requests.
    """

    def __init__(
        self,
        config: Config,
        repository: Repository,
        reader: VersionReader,
        enter: Callable[[Model], None],
        leave: Callable[[Model], None],
    ) -> None:
        self._config = config
        self._repository = repository
        self._reader = reader
        self._enter = enter
        self._leave = leave
        self._threads = LoadThreads(max(1, usable_cores() // config.workers), config.load_s)
        self._measuring = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._missing: set[str] = set()
        self._giving_back: asyncio.Future[None] | None = None
        # Set once every model that is to be loaded at the start has been loaded, or unloaded since.
        self.complete = asyncio.Event()

    @property
    def missing(self) -> list[str]:
        """The models that were to be loaded at the start and were neither loaded nor unloaded, each with the reason."""
        return [_named(name, self._repository.reason(name) or "not loaded yet") for name in sorted(self._missing)]

    async def start(self) -> None:
        """Load the models that the configuration names, or all.

        Raises:
            InvalidPackage: there is no such folder; or it is empty, and models cannot be loaded later; or packages may
                not be served, and the configuration does not let the server start without them.
        """
        found = await asyncio.to_thread(scan.models, self._config.repository)
        misplaced = await asyncio.to_thread(scan.misplaced, self._config.repository)
        for reason in misplaced.values():
            log.warning("not served: %s", reason)
        if not found and self._config.model_control == "none":
            raise InvalidPackage(
                "; ".join((f"{self._config.repository}: no package in a folder <name>/<version>/", *misplaced.values()))
            )
        named = self._config.load_models
        self._missing = set(found if named is None else named)
        with big_blocks_returned():
            failures = await self._load_all(sorted(self._missing))
        for name, error in failures.items():
            log.error("model %s: not loaded: %s", name, error)
            self._repository.failed(name, str(error))
        if failures and not self._config.serves_without_failed:
            raise InvalidPackage(_listed(failures))
        self._check_complete()
        await asyncio.to_thread(give_back)

    async def stop(self) -> None:
        """Wait until the loads that still run have ended, at most `END_S`."""
        await self._threads.stop(END_S)

    async def refresh(
        self, name: str, override: Override = NO_OVERRIDE, changed: Collection[int] | None = None
    ) -> None:
        """Load the versions in ``changed`` (None: all) and those that are not served yet; then serve them.

        Raises:
            UnknownModel, InvalidPackage, InvalidArgument: as `VersionReader.read`.
            InvalidPackage: also if the model did not load within the configuration's ``load_s``.
        """
        async with self._lock(name):
            with self._repository.loading(name), self._noted(name, override):
                versions = await self._prepared(name, override, self._kept(name, changed))
                await self._measured(name, versions)
            self._swap(name, versions)

    async def drop(self, name: str) -> None:
        """Take the model out, if it is served."""
        async with self._lock(name):
            self._let_go(self._repository.remove(name))
            self._missing.discard(name)
            self._check_complete()
            log.info("model %s: unloaded", name)

    async def _load_all(self, names: list[str]) -> dict[str, LectoriumError]:
        """Load these models and return the errors of those that failed, by name.

        All of them are prepared before the first is measured, because loading disturbs the measurement.
        """
        preparing = (self._prepared(name, NO_OVERRIDE, {}) for name in names)
        prepared = dict(zip(names, await asyncio.gather(*preparing, return_exceptions=True), strict=True))
        failures: dict[str, LectoriumError] = {}
        for name in names:
            versions = prepared.pop(name)
            try:
                if isinstance(versions, BaseException):
                    raise versions
                await self._measured(name, versions)
            except LectoriumError as error:
                failures[name] = error
            else:
                self._swap(name, versions)
        return failures

    async def _prepared(self, name: str, override: Override, kept: Mapping[int, Model]) -> Versions:
        """The versions that are to be served; those not in ``kept`` are verified, tested and warmed.

        Raises:
            UnknownModel, InvalidPackage, InvalidArgument: as `refresh`.
        """
        if not scan.is_name(name):
            raise unknown_model(name)
        async with self._folder(override, name) as folder:
            return await self._threads.run(name, partial(self._reader.read, folder, name, override, kept))

    async def _measured(self, name: str, versions: Versions) -> None:
        async with self._measuring:
            await self._threads.run(name, partial(_measure, versions.models))

    @asynccontextmanager
    async def _folder(self, override: Override, name: str) -> AsyncIterator[Path]:
        """The folder to load from. A folder of a request's files is removed even while an abandoned load reads it."""
        with ExitStack() as stack:
            try:
                yield await asyncio.to_thread(stack.enter_context, override.repository(self._config.repository, name))
            finally:
                await asyncio.to_thread(stack.close)

    @contextmanager
    def _noted(self, name: str, override: Override) -> Iterator[None]:
        """Keep the error as the reason in the index, if it is about the packages in the repository."""
        try:
            yield
        except InvalidPackage as error:
            if override == NO_OVERRIDE:  # else it may be about the request's files or options
                self._repository.failed(name, str(error))
            raise

    def _swap(self, name: str, versions: Versions) -> None:
        gone = self._repository.swap(name, versions.models, versions.policy)
        for model in versions.models:
            self._enter(model)
        self._let_go(gone)
        self._missing.discard(name)
        self._check_complete()
        log.info("model %s: serving %s (%s)", name, [model.version for model in versions.models], versions.policy)

    def _let_go(self, gone: list[Model]) -> None:
        for model in gone:
            self._leave(model)
            # The last request inside it may end on any thread.
            weakref.finalize(model, self._gone, model.name, model.version).atexit = False

    def _gone(self, name: str, version: str) -> None:
        with suppress(RuntimeError):  # the event loop has ended, and the process is about to
            self._loop.call_soon_threadsafe(self._forget, name, version)

    def _forget(self, name: str, version: str) -> None:
        """Drop the model's metrics and return its memory, once no request is inside it.

        If many models leave together, the memory of all of them is returned at once.
        """
        if not self._repository.holds(name, version):
            metrics.forget(name, version)
        if self._giving_back is None or self._giving_back.done():
            self._giving_back = asyncio.ensure_future(asyncio.to_thread(give_back))

    def _check_complete(self) -> None:
        if not self._missing:
            self.complete.set()

    def _kept(self, name: str, changed: Collection[int] | None) -> dict[int, Model]:
        if changed is None or name not in self._repository.names:
            return {}
        served = {int(model.version): model for model in self._repository.select(name)}
        return {version: model for version, model in served.items() if version not in changed}

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _measure(models: list[Model]) -> None:
    for model in models:
        model.measure()


def _listed(failures: Mapping[str, LectoriumError]) -> str:
    if len(failures) == 1:
        return str(*failures.values())
    lines = [
        f"{len(failures)} models cannot be loaded:",
        *(_named(name, str(error)) for name, error in failures.items()),
    ]
    return "\n  ".join(lines)[:_MAX_FAILURES]


def _named(name: str, reason: str) -> str:
    return reason if name in reason else f"{name}: {reason}"
