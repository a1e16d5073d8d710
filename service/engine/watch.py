"""The watch over a repository's folder: what is copied into it is served, what is removed goes, by itself."""

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
    """Looks again and again; what two looks in a row find alike, and unlike before, is loaded or unloaded.

    So nothing is read while it is being copied. Where a load fails, it is told once, and tried again when the
    files have changed again. A load that takes long keeps no other model from being looked at.
    """

    def __init__(self, folder: Path, repository: Repository, loader: Loader) -> None:
        self._folder = folder
        self._repository = repository
        self._loader = loader
        self._seen: dict[str, Found] = {}
        self._tried: dict[str, Found] = {}
        self._served: dict[str, Found] = {}
        self._trouble = ""
        self._following: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Look for the first time, and have the loader start.

        Raises:
            InvalidPackage: as `Loader.start`.
        """
        self._seen = await asyncio.to_thread(scan.fingerprints, self._folder)
        await self._loader.start()
        # What has changed since the look is loaded again.
        self._tried = dict(self._seen)
        self._served = {name: versions for name, versions in self._seen.items() if name in self._repository.names}

    async def run(self, every_s: float) -> None:
        """Look every so many seconds, until cancelled."""
        try:
            while True:
                await asyncio.sleep(every_s)
                try:
                    await self.look(within_s=0)
                except Exception:
                    log.exception("a look at %s failed", self._folder)
        finally:
            for task in self._following.values():
                task.cancel()

    async def look(self, within_s: float | None = None) -> None:
        """One look; waits for the loads that follow from it, or for so long."""
        try:
            found = await asyncio.to_thread(scan.fingerprints, self._folder)
        except (LectoriumError, OSError) as error:
            # A share that is away for a while is no reason to unload everything.
            self._say(f"the repository cannot be read, and stays as it is: {error}")
            return
        self._say("")
        before, self._seen = self._seen, found
        for name in self._tried.keys() | found.keys():
            versions = found.get(name, {})
            still = versions == before.get(name, {}) and versions != self._tried.get(name, {})
            if still and name not in self._following:
                task = self._following[name] = asyncio.create_task(self._follow(name, versions))
                task.add_done_callback(partial(self._following.pop, name))
        if self._following:
            await asyncio.wait(list(self._following.values()), timeout=within_s)

    async def _follow(self, name: str, versions: Found) -> None:
        try:
            await self._load(name, versions)
        except Exception:
            log.exception("model %s: what has changed cannot be followed", name)

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
                log.error("model %s: its files have changed and cannot be served; it stays as it was: %s", name, error)
            else:
                log.error("model %s: not loaded: %s", name, error)
        else:
            self._served[name] = versions

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error(trouble)
        self._trouble = trouble
