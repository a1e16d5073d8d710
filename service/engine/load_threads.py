"""The threads that loads run on; a thread that does not end in time is abandoned.

A run of ONNX Runtime can be stopped between two nodes, but not within one, nor while a graph is read; and reading from
a network share that is away may block. So these threads are daemons, and nothing waits for one without a limit.
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

# The most abandoned loads that may still run; each may use a core and the memory of its model.
MAX_ABANDONED = 4

T = TypeVar("T")
log = logging.getLogger(__name__)


class LoadThreads:
    """Runs up to ``most`` loads side by side, each for at most ``limit_s`` seconds."""

    def __init__(self, most: int, limit_s: float) -> None:
        self._limit_s = limit_s
        self._free = asyncio.Semaphore(most)
        self._running: set[LoadThread[Any]] = set()
        self._abandoned: set[LoadThread[Any]] = set()

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Run ``work``, one stage of loading the model ``name``, on a thread of its own; return what it returns.

        Raises:
            QueueFull: too many abandoned loads still run.
            InvalidPackage: the work did not end in time and is abandoned.
            Exception: whatever ``work`` raises.
        """
        async with self._free:
            self._abandoned = {thread for thread in self._abandoned if thread.is_alive()}
            if len(self._abandoned) >= MAX_ABANDONED:
                raise QueueFull(
                    f"{len(self._abandoned)} loads that took longer than load_s, {self._limit_s:g} s, still run; "
                    f"no other load starts while there are {MAX_ABANDONED}; the log names them, and a restart ends them"
                )
            thread = self._start(name, work)
            try:
                async with asyncio.timeout(self._limit_s) as limit:
                    return await asyncio.shield(thread.ended)
            except TimeoutError:
                if not limit.expired():  # the work itself raised it
                    raise
            self._running.discard(thread)
            self._abandoned.add(thread)
            thread.end_runs()
        log.error("model %s: its load has taken longer than %g s and is abandoned", name, self._limit_s)
        raise InvalidPackage(f"{name}: not loaded within load_s, {self._limit_s:g} s")

    async def stop(self, within_s: float) -> None:
        """Stop the loads that run, and wait for them at most ``within_s`` seconds; not for abandoned ones."""
        for thread in self._running:
            thread.end_runs()
        if self._running:
            await asyncio.wait([thread.ended for thread in self._running], timeout=within_s)

    def _start(self, name: str, work: Callable[[], T]) -> "LoadThread[T]":
        thread = LoadThread(name, work)
        self._running.add(thread)
        thread.ended.add_done_callback(lambda _: self._running.discard(thread))
        thread.start()
        return thread


class LoadThread(threading.Thread, Generic[T]):
    """Runs ``work``; ``ended`` gets its result or its error, on the event loop."""

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        super().__init__(name=f"loader {name}", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._work: Callable[[], T] | None = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self._runs = run_options(NOT_RECORDED)
        self.ended: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> None:
        """Do the work. The thread keeps no reference to what was loaded after the event loop has it."""
        work, self._work = self._work, None
        assert work is not None  # a thread starts once
        LOADING.set(self._runs)
        try:
            self._result = work()
        except BaseException as error:
            self._error = error
        del work
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._end)

    def end_runs(self) -> None:
        """Make the current run of a graph fail, and those that follow."""
        self._runs.terminate = True

    def _end(self) -> None:
        self.join()  # it has nothing left to do
        result, error, self._result, self._error = self._result, self._error, None, None
        if error is None:
            self.ended.set_result(cast(T, result))
            return
        self.ended.set_exception(error)
        self.ended.exception()  # marks it as seen: nobody waits for an abandoned load


@contextmanager
def ending_with_loads() -> Iterator[None]:
    """If loads still run after this block, exit at once: with code 0, or with 1 after printing an error.

    A normal exit would destroy what their threads use, and ONNX Runtime would crash.
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
