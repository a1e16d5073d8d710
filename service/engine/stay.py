"""A caller's stay in a line: its timers, its places, and what the statistics learn of it."""

import asyncio
import time
from types import TracebackType
from typing import Any, Protocol

from service.deadline import Deadline
from service.engine.line import Caller, Line
from service.engine.statistics import Statistics
from service.errors import DeadlineExceeded


class Guest(Caller, Protocol):
    """A caller whose stay is timed; ``started`` is when its first run began, 0 before."""

    deadline: Deadline
    entered: float
    started: float

    def release(self) -> None:
        """Nobody waits for the answer any more: let go of what was held for it."""


class Stay:
    """``with Stay(...):`` wait for the answer inside; whatever ends the block, the places are given back.

    The guest fails at its deadline, and where ``patience_s`` pass before it is taken from the line, of which it has
    waited ``waited_s`` in another. A request that
    goes on afterwards (not ``ends``) is counted as answered there.

    Raises:
        DeadlineExceeded: at entry, where the deadline has passed.
    """

    def __init__(
        self,
        line: Line[Any],
        guest: Guest,
        statistics: Statistics,
        patience_s: float | None,
        *,
        waited_s: float = 0.0,
        ends: bool = True,
    ) -> None:
        self._line = line
        self._guest = guest
        self._statistics = statistics
        self._ends = ends
        self._patience_s = patience_s
        self._waited_s = waited_s

    def __enter__(self) -> None:
        deadline = self._guest.deadline
        if deadline.passed:
            late = self._too_late()
            self._statistics.failed(time.perf_counter() - self._guest.entered, late)
            raise late
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(deadline.remaining_s, self._expire)
        self._overdue: asyncio.TimerHandle | None = None
        if self._patience_s is not None:
            self._overdue = loop.call_later(
                self._patience_s - self._waited_s, self._line.overdue, self._guest, self._patience_s
            )
        self._line.join(self._guest)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline.cancel()
        if self._overdue is not None:
            self._overdue.cancel()
        self._guest.release()
        self._line.leave(self._guest)
        seconds = time.perf_counter() - self._guest.entered
        if error is not None:
            self._statistics.failed(seconds, error)
        elif self._ends:
            self._statistics.succeeded(seconds, self._guest.started - self._guest.entered)

    def _expire(self) -> None:
        self._guest.fail(self._too_late())

    def _too_late(self) -> DeadlineExceeded:
        return self._guest.deadline.exceeded(f"model {self._line.name!r}")
