"""Decides which queue runs next, and where: on a lane, or at once on the event loop.

Work is chosen when a lane becomes free, never by a timer: whatever has gathered by then is the batch. A batch that
runs in less time than a hand-over between two threads needs no lane. It runs on the event loop, beside whatever the
lanes do, so that a small model never waits behind a large one.
"""

import asyncio
import logging
from functools import partial

from service import metrics
from service.engine.lane import Lane, attempt
from service.engine.ready_queues import ReadyQueues
from service.engine.work import WorkItem, WorkQueue

log = logging.getLogger(__name__)


class Dispatcher:
    """Its lanes run from `start` until `stop`. Everything but their work belongs to the event loop that starts them."""

    def __init__(self) -> None:
        self._lanes: list[Lane] = []
        self._idle: list[Lane] = []
        self._ready = ReadyQueues()
        self._quick = ReadyQueues()
        self._looking = False

    def start(self, lanes: int) -> None:
        """Start to look for work, with this many lanes."""
        self._loop = asyncio.get_running_loop()
        self._lanes = [Lane(f"lane-{i}", self._loop) for i in range(lanes)]
        self._idle = list(self._lanes)

    @property
    def alive(self) -> bool:
        """Whether every lane is alive."""
        return bool(self._lanes) and all(lane.alive for lane in self._lanes)

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return len(self._idle) == len(self._lanes) and not self._ready and not self._quick

    def contended(self) -> bool:
        """Whether a queue waits for a lane."""
        return bool(self._ready)

    async def stop(self) -> None:
        """Finish the work the lanes have started, and end them."""
        for lane in self._lanes:
            await asyncio.to_thread(lane.stop)

    def add(self, queue: WorkQueue) -> None:
        """Consider the queue, which has a new request.

        The next work item is chosen at the end of this iteration of the event loop, so that requests read from several
        sockets in one iteration share the first batch.
        """
        queue.gathering.arrived()
        self._place(queue)
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _place(self, queue: WorkQueue) -> None:
        if queue:  # the queue of a step loop is false while a step runs
            (self._quick if queue.quick else self._ready).add(queue)

    def _look(self) -> None:
        self._looking = False
        while self._idle and self._ready:
            self._start(self._ready.next())
        queue = self._quick.take(lambda queue: not queue.gathering.waits())
        if queue is not None:
            if queue.quick:
                self._run_here(queue)
            else:  # more requests have arrived since
                self._place(queue)
        if self._quick or (self._idle and self._ready):
            self._look_soon()  # the sockets first: requests read now share the next batch

    def _start(self, queue: WorkQueue) -> None:
        """Give the queue's next work item to an idle lane."""
        item = queue.form()
        self._place(queue)
        if item is not None:
            lane = self._idle.pop()
            lane.submit(item.run, partial(self._finish, lane, queue, item))
            queue.form_ahead()

    def _run_here(self, queue: WorkQueue) -> None:
        queue.gathering.begins()
        item = queue.form()
        self._place(queue)
        if item is not None:
            self._answer(queue, item, attempt(item.run))

    def _finish(self, lane: Lane, queue: WorkQueue, item: WorkItem, error: Exception | None) -> None:
        # The lane gets its next work item before the callers of this one get their answers.
        self._idle.append(lane)
        queue.ended()
        self._place(queue)
        self._look()
        self._answer(queue, item, error)

    def _answer(self, queue: WorkQueue, item: WorkItem, error: Exception | None) -> None:
        if error is None:
            item.answer()
        else:
            item.fail(error)
        if error is not None or item.runs_again:
            self.add(queue)
        model = queue.model
        for run in item.runs:
            model.statistics.ran(*run)
            metrics.batch_rows(model.name, model.version).observe(run.rows)
