"""The times of a request in a queue: its deadline and its queue timeout."""

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
class WaitingRequest:
    """A request that waits until it fails."""

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


async def wait_in_queue(request: WaitingRequest, queue_timeout_s: float | None = None, waited_s: float = 0.0) -> None:
    queue: RequestQueue[WaitingRequest] = RequestQueue("m", Serving(), 10)
    statistics = Statistics()
    try:
        with Lifetime(queue, request, statistics, queue_timeout_s, waited_s=waited_s):
            async with asyncio.timeout(5):
                await request.failed
    finally:
        assert (queue.rows, queue.waiting) == (0, 0)
        assert statistics.fail.count == 1


async def test_the_time_spent_in_another_queue_counts_towards_the_queue_timeout() -> None:
    with pytest.raises(DeadlineExceeded, match="not taken from the queue in 10000 s"):
        await wait_in_queue(WaitingRequest(), HOURS_S, waited_s=HOURS_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wait_in_queue(WaitingRequest(), HOURS_S)


async def test_it_ends_at_the_deadline_and_does_not_begin_after_it() -> None:
    with pytest.raises(DeadlineExceeded, match=r"model 'm': no answer in 0\.01 s"):
        await wait_in_queue(WaitingRequest(Deadline.after(0.01)))
    late = WaitingRequest(Deadline(0.0, 7.0))
    with pytest.raises(DeadlineExceeded, match="model 'm': no answer in 7 s"):
        await wait_in_queue(late)
    assert not late.gone
