"""Models come and go: read, verified, proved and warmed on threads, then swapped in on the loop in one step."""

import asyncio
import logging
import os
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from service import metrics
from service.config import Config
from service.engine import scan
from service.engine.cores import usable_cores
from service.engine.load_threads import LoadThreads
from service.engine.memory import give_back
from service.engine.model import Load, Model
from service.engine.override import NO_OVERRIDE, Override
from service.engine.repository import Repository, Row
from service.engine.session import OpenGraph
from service.engine.signature import read_signature
from service.errors import ControlRefused, InvalidPackage, LectoriumError, QueueFull, UnknownModel
from service.package import CARD, read_package
from service.package.bare import GRAPH, bare_package
from service.package.files import check_folder
from service.package.folder import read_card
from service.package.serving import VersionPolicy

# Loads asked for and not yet done; each may hold files as large as a request.
MAX_LOADS = 16
# How long the end of the process waits for loads at hand.
END_S = 5.0
_MAX_REASON = 1000
# Of all the failures of a start, in one message; the log has each of them whole.
_MAX_FAILURES = 30_000

log = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """The versions of one model that are to be served, ascending, and what chose them."""

    models: list[Model]
    policy: VersionPolicy


class Loader:
    """Loads models into a repository and takes them out, all of a model's versions or none.

    As many models are loaded at a time as there are cores; how quick their graphs are is measured one by one.

    Args:
        config: where the packages lie, and who may load them when.
        repository: what is served.
        open_graph: opens the graph of a package without a card, whose tensors are not yet known.
        load: makes a session.
        enter: called, on the loop, with each model that is served from now on.
        leave: called, on the loop, with each model that takes no more requests.
    """

    def __init__(
        self,
        config: Config,
        repository: Repository,
        open_graph: OpenGraph,
        load: Load,
        enter: Callable[[Model], None],
        leave: Callable[[Model], None],
    ) -> None:
        self._config = config
        self._repository = repository
        self._open_graph = open_graph
        self._session = load
        self._enter = enter
        self._leave = leave
        self._threads = LoadThreads(max(1, usable_cores() // config.workers), config.load_s)
        self._measuring = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._missing: set[str] = set()
        self._giving_back: asyncio.Future[None] | None = None
        # Every model wanted at the start has been loaded, or taken out since.
        self.complete = asyncio.Event()

    @property
    def missing(self) -> list[str]:
        """The models wanted at the start that have neither been loaded nor taken out since, each with the reason."""
        return [_named(name, self._repository.reason(name) or "not loaded yet") for name in sorted(self._missing)]

    async def start(self) -> None:
        """Load what is wanted at the start.

        Raises:
            InvalidPackage: the folder is missing; or, where nobody can load models later, it is empty; or packages may
                not be served and the configuration does not let the others be served: which, and why.
        """
        found = await asyncio.to_thread(scan.models, self._config.repository)
        misplaced = await asyncio.to_thread(scan.misplaced, self._config.repository)
        for reason in misplaced.values():
            log.warning("not served: %s", reason)
        if not found and self._config.model_control == "none":
            raise InvalidPackage(
                "; ".join((f"{self._config.repository}: no package <name>/<version>/ there", *misplaced.values()))
            )
        wanted = self._config.load_models
        self._missing = set(found if wanted is None else wanted)
        failures = await self._load_all(sorted(self._missing))
        for name, error in failures.items():
            log.error("model %s: not loaded: %s", name, error)
            self._repository.failed(name, str(error))
        if failures and not self._config.serves_without_failed:
            raise InvalidPackage(_listed(failures))
        self._check_complete()
        await asyncio.to_thread(give_back)

    async def stop(self) -> None:
        """End once the loads at hand have ended, or `END_S` have passed."""
        for task in self._tasks:
            task.cancel()
        await self._threads.stop(END_S)

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
        if name not in self._repository.names and not await asyncio.to_thread(
            scan.versions, self._config.repository, name
        ):
            raise _unknown(name)
        await self._to_its_end(self.drop(name))

    async def index(self) -> list[Row]:
        """A row for each version that is served or lies in the folder."""
        folder = self._config.repository
        found, misplaced = await asyncio.to_thread(lambda: (scan.models(folder), scan.misplaced(folder)))
        named = {name: reason for name, reason in misplaced.items() if scan.is_name(name)}
        return self._repository.index(found, named)

    async def refresh(
        self, name: str, override: Override = NO_OVERRIDE, changed: Collection[int] | None = None
    ) -> None:
        """Load the versions of the model that have ``changed``, None for all, and those that are not yet served.

        Raises:
            UnknownModel, InvalidPackage, InvalidArgument: as `load`.
        """
        async with self._lock(name):
            with self._repository.loading(name), self._noted(name, override):
                loaded = await self._prepared(name, override, self._kept(name, changed))
                await self._measured(name, loaded)
            self._swap(name, loaded)

    async def drop(self, name: str) -> None:
        """Take the model out, if it is in."""
        async with self._lock(name):
            self._let_go(self._repository.remove(name))
            self._missing.discard(name)
            self._check_complete()
            log.info("model %s: unloaded", name)

    async def _load_all(self, names: list[str]) -> dict[str, LectoriumError]:
        """Load these models; the errors of those that could not be, by name.

        All are prepared before the first is measured: nothing disturbs that then.
        """
        preparing = (self._prepared(name, NO_OVERRIDE, {}) for name in names)
        prepared = dict(zip(names, await asyncio.gather(*preparing, return_exceptions=True), strict=True))
        failures: dict[str, LectoriumError] = {}
        for name in names:
            loaded = prepared.pop(name)
            try:
                if isinstance(loaded, BaseException):
                    raise loaded
                await self._measured(name, loaded)
            except LectoriumError as error:
                failures[name] = error
            else:
                self._swap(name, loaded)
        return failures

    async def _prepared(self, name: str, override: Override, kept: Mapping[int, Model]) -> Loaded:
        """The versions that are to be served, those not kept verified, proved and warm.

        Raises:
            UnknownModel, InvalidPackage, InvalidArgument: as `load`.
        """
        if not scan.is_name(name):
            raise _unknown(name)
        async with self._folder(override, name) as folder:
            return await self._threads.run(name, partial(self._read, folder, name, override, kept))

    async def _measured(self, name: str, loaded: Loaded) -> None:
        async with self._measuring:
            await self._threads.run(name, partial(_measure, loaded.models))

    @asynccontextmanager
    async def _folder(self, override: Override, name: str) -> AsyncIterator[Path]:
        """The folder to load from; one of a request's files goes though their load is left behind."""
        with ExitStack() as stack:
            try:
                yield await asyncio.to_thread(stack.enter_context, override.repository(self._config.repository, name))
            finally:
                await asyncio.to_thread(stack.close)

    @contextmanager
    def _noted(self, name: str, override: Override) -> Iterator[None]:
        """What goes wrong with the packages of the folder is the reason in the index."""
        try:
            yield
        except InvalidPackage as error:
            if override == NO_OVERRIDE:  # else it says nothing of what lies in the folder
                self._repository.failed(name, str(error))
            raise

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
            weakref.finalize(model, self._gone, model.name, model.version).atexit = False

    def _gone(self, name: str, version: str) -> None:
        with suppress(RuntimeError):  # the loop has ended, and all will
            self._loop.call_soon_threadsafe(self._forget, name, version)

    def _forget(self, name: str, version: str) -> None:
        """On the loop, once nobody is inside: drop the model's metrics and give its memory back.

        Of many models that leave together, the memory of all is given back at once.
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

    def _read(self, folder: Path, name: str, override: Override, kept: Mapping[int, Model]) -> Loaded:
        """On a thread: as `_prepared`."""
        failure: LectoriumError
        try:
            return self._read_versions(folder, name, override, kept)
        except OSError as error:  # somebody copies or removes it meanwhile
            failure = InvalidPackage(f"{name}: {error.strerror}")
        except LectoriumError as error:
            # A caller knows the repository's folders by their names only.
            failure = type(error)(scan.printable(str(error)).replace(f"{folder}{os.sep}", "")[:_MAX_REASON])
        # Raised out here, it holds none of the frames that hold what was loaded before it.
        give_back()
        raise failure

    def _read_versions(self, folder: Path, name: str, override: Override, kept: Mapping[int, Model]) -> Loaded:
        paths = scan.versions(folder, name)
        if not paths:
            reason = scan.misplaced(folder, name).get(name, "")
            raise UnknownModel(reason) if reason else _unknown(name)
        policy = override.version_policy or _card_policy(paths[max(paths)]) or self._config.version_policy
        chosen = policy.choose(list(paths))
        if not chosen:
            raise InvalidPackage(f"{name}: version policy {policy} chooses none of {list(paths)}")
        models = [kept.get(version) or self._model(paths[version], override) for version in chosen]
        for model in models:
            override.accept(model, policy)
        return Loaded(models, policy)

    def _model(self, folder: Path, override: Override) -> Model:
        if not _is_bare(folder):
            return Model(override.applied(read_package(folder)), self._session)
        check_folder(folder)
        path = folder / GRAPH
        opened = self._open_graph(path)
        package = bare_package(folder, read_signature(path, opened), self._config.default_max_batch)
        return Model(override.applied(package), partial(self._session, opened=opened))

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

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(task)
        finally:
            del task  # its exception's trace leads to this frame, and from here back to it


def _measure(models: list[Model]) -> None:
    for model in models:
        model.measure()


def _is_bare(folder: Path) -> bool:
    return os.path.lexists(folder / GRAPH) and not os.path.lexists(folder / CARD)


def _card_policy(folder: Path) -> VersionPolicy | None:
    return None if _is_bare(folder) else read_card(folder / CARD).serving.version_policy


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


def _unknown(name: str) -> UnknownModel:
    return UnknownModel(f"no model {name[:80]!r} in the repository")
