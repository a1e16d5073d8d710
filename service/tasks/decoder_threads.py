"""Threads that decode: connections take turns, what nobody waits for is not begun, and no thread keeps the process."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from service.deadline import Deadline
from service.tasks.caller import Caller

T = TypeVar("T")


class Job(Generic[T]):
    """A piece of work, and the future of what it returns; both belong to the loop it was made on.

    What it raises has its frames in the traceback, and these the work and its file: neither the job nor a frame may
    keep the error, for such a circle lasts until the garbage collector comes, which is seldom.
    """

    def __init__(self, work: Callable[[], T], caller: Caller, deadline: Deadline) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: Callable[[], T] | None = work
        self.caller = caller
        self.deadline = deadline
        self._future: asyncio.Future[T] | None = self._loop.create_future()
        self.begun = False
        self._left = False
        self._ended = False

    def run(self) -> None:
        """Do the work, on any thread."""
        assert self._work is not None  # run once
        result: Any = None
        error: BaseException | None = None
        try:
            result = self._work()
        except BaseException as raised:
            error = raised
        self._work = None  # it holds the file
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any longer
            self._loop.call_soon_threadsafe(self._end, result, error)
        del error

    @property
    def future(self) -> asyncio.Future[T]:
        """What it returns, until nobody waits for it."""
        assert self._future is not None
        return self._future

    def leave(self) -> None:
        """Nobody waits for it any longer."""
        self._future = None
        if self.begun and not self._ended:
            self._left = True
            self.caller.still_runs(1)

    def _end(self, result: T, error: BaseException | None) -> None:
        self._ended = True
        if self._left:
            self.caller.still_runs(-1)
        if self._future is None or self._future.done():
            return
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)


class DecoderThreads:
    """Started as they are needed, ``most`` at the most; the interpreter does not wait for them at its end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._idle = 0
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[Job[Any]]] = {}  # by connection; the first is the next

    def add(self, job: Job[Any]) -> None:
        """Have the job run when its connection's turn comes."""
        with self._changed:
            self._waiting.setdefault(job.caller.connection, deque()).append(job)
            if self._idle:
                self._changed.notify()
            elif self._started < self._most:
                threading.Thread(target=self._run, name=f"decode-{self._started}", daemon=True).start()
                self._started += 1

    def leave(self, job: Job[Any]) -> None:
        """Nobody waits for the job any longer: it is not begun, where it has not been."""
        with self._changed:
            line = self._waiting.get(job.caller.connection)
            if not job.begun and line is not None:
                with suppress(ValueError):  # dropped at its deadline
                    line.remove(job)
                if not line:
                    del self._waiting[job.caller.connection]
        job.leave()

    def _run(self) -> None:
        while True:
            self._next().run()

    def _next(self) -> Job[Any]:
        with self._changed:
            while True:
                while not self._waiting:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                connection = next(iter(self._waiting))
                line = self._waiting.pop(connection)
                job = line.popleft()
                if line:
                    self._waiting[connection] = line  # behind all others
                # The loop's timer tells the caller, and may be late where the loop has much to do.
                if not job.deadline.passed:
                    job.begun = True
                    return job
