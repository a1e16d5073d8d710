"""The threads that loads run on; one that does not end in time is left behind.

ONNX Runtime runs can be ended between two nodes, but not within one, nor while a graph is read; and a share that is
away holds whoever reads from it. So these threads are daemons: neither another load nor the end of the process waits
for one for ever.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar, cast

from service.engine.binding import LOADING, NOT_RECORDED, run_options
from service.errors import InvalidPackage, LectoriumError, QueueFull

# Loads left behind and still running; each may hold a core and the memory of its model.
MAX_ABANDONED = 4

T = TypeVar("T")
log = logging.getLogger(__name__)


class LoadThreads:
    """So many loads run side by side, each for ``limit_s`` at most."""

    def __init__(self, most: int, limit_s: float) -> None:
        self._limit_s = limit_s
        self._free = asyncio.Semaphore(most)
        self._running: set[LoadThread[Any]] = set()
        self._abandoned: set[LoadThread[Any]] = set()

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """What ``work``, a part of the load of the model ``name``, returns or raises, on a thread of its own.

        Raises:
            QueueFull: too many loads that were left behind still run.
            InvalidPackage: the work did not end in time, and is left behind.
        """
        async with self._free:
            self._abandoned = {thread for thread in self._abandoned if thread.is_alive()}
            if len(self._abandoned) >= MAX_ABANDONED:
                raise QueueFull(
                    f"{len(self._abandoned)} loads that took over load_s, {self._limit_s:g} s, still run, and no other "
                    "is begun until one of them ends; the log names them, and a restart ends them"
                )
            thread = self._begun(name, work)
            try:
                async with asyncio.timeout(self._limit_s) as limit:
                    return await asyncio.shield(thread.ended)
            except TimeoutError:
                if not limit.expired():  # the work itself has raised it
                    raise
            self._running.discard(thread)
            self._abandoned.add(thread)
            thread.end_runs()
        log.error("model %s: a load has taken over %g s and is abandoned", name, self._limit_s)
        raise InvalidPackage(f"{name}: not loaded within load_s, {self._limit_s:g} s")

    async def stop(self, within_s: float) -> None:
        """End the loads at hand and wait a little for them, not for those that were left behind."""
        for thread in self._running:
            thread.end_runs()
        if self._running:
            await asyncio.wait([thread.ended for thread in self._running], timeout=within_s)

    def _begun(self, name: str, work: Callable[[], T]) -> "LoadThread[T]":
        thread = LoadThread(name, work)
        self._running.add(thread)
        thread.ended.add_done_callback(lambda _: self._running.discard(thread))
        thread.start()
        return thread


class LoadThread(threading.Thread, Generic[T]):
    """Runs ``work``; ``ended`` is its outcome, told on the loop."""

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        super().__init__(name=f"loader {name}", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._work: Callable[[], T] | None = work
        self._came: T | None = None
        self._error: BaseException | None = None
        self._runs = run_options(NOT_RECORDED)
        self.ended: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> None:
        """On the thread, which holds nothing of what was loaded once the loop has it."""
        work, self._work = self._work, None
        assert work is not None  # a thread starts once
        LOADING.set(self._runs)
        try:
            self._came = work()
        except BaseException as error:
            self._error = error
        del work
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._tell)

    def end_runs(self) -> None:
        """Have the run at hand, and those that follow it, fail."""
        self._runs.terminate = True

    def _tell(self) -> None:
        self.join()  # it has nothing left to do
        came, error, self._came, self._error = self._came, self._error, None, None
        if error is None:
            self.ended.set_result(cast(T, came))
            return
        self.ended.set_exception(error)
        self.ended.exception()  # of a load that was left behind nobody asks


@contextmanager
def ending_with_loads() -> Iterator[None]:
    """End the process after this block where loads still run, with exit code 0, or 1 after an error, which is printed.

    Python's own end would destroy what their threads use, and ONNX Runtime would crash.
    """
    error = ""
    try:
        yield
    except LectoriumError as refused:
        if not _running():
            raise
        error = str(refused)
    if running := _running():
        log.warning("the process ends while loads still run: %s", ", ".join(running))
        if error:
            print(f"Error: {error}", file=sys.stderr, flush=True)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1 if error else 0)


def _running() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if isinstance(thread, LoadThread))
