"""Threads that decode images. They serve connections in rotation, and skip jobs that nobody waits for any more.

They are daemons, so that the process does not wait for one when it ends.
"""

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
    """A piece of work and the future of its result; the future belongs to the event loop that makes the job.

    The traceback of an error refers to the frames of the work, and these refer to the image file. So neither the job
    nor a frame keeps the error: such a cycle would last until the garbage collector runs, which is seldom.
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
        assert self._work is not None  # it runs only once
        result: Any = None
        error: BaseException | None = None
        try:
            result = self._work()
        except BaseException as raised:
            error = raised
        self._work = None  # it holds the file
        with suppress(RuntimeError):  # the event loop is closed, so nobody waits any more
            self._loop.call_soon_threadsafe(self._end, result, error)
        del error

    @property
    def future(self) -> asyncio.Future[T]:
        """The future of the result; do not use it after `leave`."""
        assert self._future is not None
        return self._future

    def leave(self) -> None:
        """Forget the future, because nobody waits for the result any more."""
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
    """At most ``most`` threads, which are started when they are needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._idle = 0
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[Job[Any]]] = {}  # by connection; the first connection is the next

    def add(self, job: Job[Any]) -> None:
        """Run the job on a thread, after the jobs of its connection that were added before."""
        with self._changed:
            self._waiting.setdefault(job.caller.connection, deque()).append(job)
            if self._idle:
                self._changed.notify()
            elif self._started < self._most:
                threading.Thread(target=self._run, name=f"decode-{self._started}", daemon=True).start()
                self._started += 1

    def leave(self, job: Job[Any]) -> None:
        """Drop the job, because nobody waits for it any more; if it has begun, it still ends."""
        with self._changed:
            jobs = self._waiting.get(job.caller.connection)
            if not job.begun and jobs is not None:
                with suppress(ValueError):  # it was dropped at its deadline
                    jobs.remove(job)
                if not jobs:
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
                jobs = self._waiting.pop(connection)
                job = jobs.popleft()
                if jobs:
                    self._waiting[connection] = jobs  # behind all other connections
                # The event loop's timer tells the caller that the deadline has passed, but it may be late if the loop
                # is busy.
                if not job.deadline.passed:
                    job.begun = True
                    return job
