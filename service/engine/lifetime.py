"""The lifetime of a request in a queue: its timers, its places, and what the statistics record of it."""

import asyncio
import time
from types import TracebackType
from typing import Any, Protocol

from service.deadline import Deadline
from service.engine.request_queue import QueuedRequest, RequestQueue
from service.engine.statistics import Statistics
from service.errors import DeadlineExceeded


class TimedRequest(QueuedRequest, Protocol):
    """A queued request with times.

    Attributes:
        deadline: when its answer must be there.
        entered: when it arrived.
        started: when its first run began; 0 before that.
    """

    deadline: Deadline
    entered: float
    started: float

    def release(self) -> None:
        """Free what is held for the answer: nobody waits for it any more."""


class Lifetime:
    """``with Lifetime(...):`` wait for the answer inside; however the block ends, the request leaves the queue.

    The request fails at its deadline, and when it is not taken from the queue within ``queue_timeout_s``, of which it
    has already spent ``waited_s`` in another queue. If another stage of the request follows, ``ends`` is false and it
    is not counted as answered.

    Raises:
        DeadlineExceeded: on entry, if the deadline has passed.
    """

    def __init__(
        self,
        queue: RequestQueue[Any],
        request: TimedRequest,
        statistics: Statistics,
        queue_timeout_s: float | None,
        *,
        waited_s: float = 0.0,
        ends: bool = True,
    ) -> None:
        self._queue = queue
        self._request = request
        self._statistics = statistics
        self._ends = ends
        self._queue_timeout_s = queue_timeout_s
        self._waited_s = waited_s

    def __enter__(self) -> None:
        deadline = self._request.deadline
        if deadline.passed:
            late = self._too_late()
            self._statistics.failed(time.perf_counter() - self._request.entered, late)
            try:
                raise late
            finally:
                del late  # its traceback has this frame: the cycle would keep what the frames hold
        loop = asyncio.get_running_loop()
        self._deadline_timer = loop.call_later(deadline.remaining_s, self._expire)
        self._queue_timer: asyncio.TimerHandle | None = None
        if self._queue_timeout_s is not None:
            remaining_s = self._queue_timeout_s - self._waited_s
            self._queue_timer = loop.call_later(remaining_s, self._queue.time_out, self._request, self._queue_timeout_s)
        self._queue.join(self._request)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline_timer.cancel()
        if self._queue_timer is not None:
            self._queue_timer.cancel()
        self._request.release()
        self._queue.leave(self._request)
        seconds = time.perf_counter() - self._request.entered
        if error is not None:
            self._statistics.failed(seconds, error)
        elif self._ends:
            self._statistics.succeeded(seconds, self._request.started - self._request.entered)

    def _expire(self) -> None:
        self._request.fail(self._too_late())

    def _too_late(self) -> DeadlineExceeded:
        return self._request.deadline.exceeded(f"model {self._queue.name!r}")
