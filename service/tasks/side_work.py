"""Work that would hold up the event loop, on threads beside it, with a limit on how much may wait."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from service.config import Config
from service.deadline import Deadline
from service.errors import QueueFull
from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.decoder_threads import DecoderThreads, Job

T = TypeVar("T")


class SideWork:
    """Runs pieces of work on at most ``threads`` threads; ``waits`` says, in an error, what waits for them."""

    def __init__(self, config: Config, waits: str, threads: int) -> None:
        self._config = config
        self._waits = waits
        self._threads = DecoderThreads(threads)
        self._waiting = 0

    async def each(self, work: Sequence[Callable[[], T]], rows: int = 1, caller: Caller = ANY_CALLER) -> list[T]:
        """Run each piece of ``work`` on a thread, and return what they return, in order. Each counts as ``rows`` rows.

        If one fails, or the caller leaves, or its deadline passes, pieces that have not begun are dropped. Those that
        have begun still end, but nobody waits for them.

        Raises:
            QueueFull: there is no room for more that waits. Work of any size is admitted if nothing waits.
            DeadlineExceeded: the caller's deadline passed first.
            Exception: what the first piece that failed raised.
        """
        deadline = caller.deadline or Deadline.after(self._config.timeout_s)
        deadline.check()
        self._enter(rows * len(work))
        jobs = [Job(piece, caller, deadline) for piece in work]
        try:
            for job in jobs:
                self._threads.add(job)
            async with asyncio.timeout(deadline.remaining_s) as clock:
                return await asyncio.gather(*(job.future for job in jobs))
        except TimeoutError as error:
            if not clock.expired():
                raise
            raise deadline.exceeded() from error
        finally:
            self._waiting -= rows * len(work)
            for job in jobs:
                self._threads.leave(job)

    def _enter(self, rows: int) -> None:
        if self._waiting and self._waiting + rows > self._config.max_queue_rows:
            raise QueueFull(
                f"{self._waiting} {self._waits}; at most {self._config.max_queue_rows} may; try again later"
            )
        self._waiting += rows
