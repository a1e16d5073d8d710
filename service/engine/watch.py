"""Watches a repository's folder: a model that is copied into it is loaded, one that is removed is unloaded."""

import asyncio
import logging
from functools import partial
from pathlib import Path

from service.engine import scan
from service.engine.loader import Loader
from service.engine.repository import Repository
from service.engine.scan import Fingerprint
from service.errors import LectoriumError

log = logging.getLogger(__name__)

Found = dict[int, Fingerprint]


class Watch:
    """Polls the folder. A model whose files have changed, and then were the same in two polls, is loaded or unloaded.

    So no model is read while it is being copied. A load that fails is logged once, and tried again when the files have
    changed again. A load that takes long does not hold up other models.
    """

    def __init__(self, folder: Path, repository: Repository, loader: Loader) -> None:
        self._folder = folder
        self._repository = repository
        self._loader = loader
        self._seen: dict[str, Found] = {}
        self._tried: dict[str, Found] = {}
        self._served: dict[str, Found] = {}
        self._problem = ""
        self._following: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Poll for the first time, and start the loader.

        Raises:
            InvalidPackage: as `Loader.start`.
        """
        self._seen = await asyncio.to_thread(scan.fingerprints, self._folder)
        await self._loader.start()
        # Models that have changed since that poll are loaded again.
        self._tried = dict(self._seen)
        self._served = {name: versions for name, versions in self._seen.items() if name in self._repository.names}

    async def run(self, every_s: float) -> None:
        """Poll every ``every_s`` seconds, until cancelled."""
        try:
            while True:
                await asyncio.sleep(every_s)
                try:
                    await self.poll(within_s=0)
                except Exception:
                    log.exception("polling %s failed", self._folder)
        finally:
            for task in self._following.values():
                task.cancel()

    async def poll(self, within_s: float | None = None) -> None:
        """Poll once, and wait for the loads that follow; at most ``within_s`` seconds, if given."""
        try:
            found = await asyncio.to_thread(scan.fingerprints, self._folder)
        except (LectoriumError, OSError) as error:
            # A network share may be away for a while; that is no reason to unload everything.
            self._report(f"the repository cannot be read; the served models stay as they are: {error}")
            return
        self._report("")
        before, self._seen = self._seen, found
        for name in self._tried.keys() | found.keys():
            versions = found.get(name, {})
            settled = versions == before.get(name, {}) and versions != self._tried.get(name, {})
            if settled and name not in self._following:
                task = self._following[name] = asyncio.create_task(self._follow(name, versions))
                task.add_done_callback(partial(self._following.pop, name))
        if self._following:
            await asyncio.wait(list(self._following.values()), timeout=within_s)

    async def _follow(self, name: str, versions: Found) -> None:
        try:
            await self._load(name, versions)
        except Exception:
            log.exception("model %s: its change could not be applied", name)

    async def _load(self, name: str, versions: Found) -> None:
        if not versions:
            del self._tried[name]
            self._served.pop(name, None)
            await self._loader.drop(name)
            return
        self._tried[name] = versions
        served = self._served.get(name, {})
        changed = {version for version, files in versions.items() if files != served.get(version)}
        try:
            await self._loader.refresh(name, changed=changed)
        except LectoriumError as error:
            if name in self._repository.names:
                log.error(
                    "model %s: its files have changed and cannot be served; the old ones still are: %s", name, error
                )
            else:
                log.error("model %s: not loaded: %s", name, error)
        else:
            self._served[name] = versions

    def _report(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error(problem)
        self._problem = problem
