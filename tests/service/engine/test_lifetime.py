"""How a stay in a line is timed."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from service.deadline import NEVER, Deadline
from service.engine.lifetime import Lifetime
from service.engine.request_queue import RequestQueue
from service.engine.statistics import Statistics
from service.errors import DeadlineExceeded
from service.package import Serving

HOURS_S = 10_000.0


@dataclass(eq=False)
class TimedRequest:
    """Waits until it fails."""

    deadline: Deadline = NEVER
    rows: int = 1
    level: int = 1
    taken: int = 0
    started: float = 0.0
    entered: float = field(default_factory=time.perf_counter)
    failed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def signature(self) -> None:
        """All are alike."""

    @property
    def gone(self) -> bool:
        return self.failed.done()

    def fail(self, error: Exception) -> None:
        if not self.gone:
            self.failed.set_exception(error)

    def release(self) -> None:
        self.failed.cancel()


async def stay(guest: TimedRequest, queue_timeout_s: float | None = None, waited_s: float = 0.0) -> None:
    line: RequestQueue[TimedRequest] = RequestQueue("m", Serving(), 10)
    statistics = Statistics()
    try:
        with Lifetime(line, guest, statistics, queue_timeout_s, waited_s=waited_s):
            async with asyncio.timeout(5):
                await guest.failed
    finally:
        assert (line.rows, line.waiting) == (0, 0)
        assert statistics.fail.count == 1


async def test_what_was_waited_in_another_line_counts_against_its_patience() -> None:
    with pytest.raises(DeadlineExceeded, match="not taken from the queue in 10000 s"):
        await stay(TimedRequest(), HOURS_S, waited_s=HOURS_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stay(TimedRequest(), HOURS_S)


async def test_it_ends_at_the_deadline_and_does_not_begin_after_it() -> None:
    with pytest.raises(DeadlineExceeded, match=r"model 'm': no answer in 0\.01 s"):
        await stay(TimedRequest(Deadline.after(0.01)))
    late = TimedRequest(Deadline(0.0, 7.0))
    with pytest.raises(DeadlineExceeded, match="model 'm': no answer in 7 s"):
        await stay(late)
    assert not late.gone
