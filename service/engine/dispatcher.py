"""Who runs next, and where: on a lane, in turn, or at once on the loop.

Work is chosen when a lane falls free, never by a timer: what has gathered meanwhile is the batch. A batch that
runs quicker than two threads hand it over needs no lane: it runs on the loop itself, beside whatever the lanes
do, so that a small model never waits behind a large one.
"""

import asyncio
import logging
from functools import partial

from service import metrics
from service.engine.lane import Lane, attempt
from service.engine.turns import Queue, Turn, Turns

log = logging.getLogger(__name__)


class Dispatcher:
    """Its lanes run from `start` until `stop`; everything but their work belongs to the loop that starts them."""

    def __init__(self) -> None:
        self._lanes: list[Lane] = []
        self._idle: list[Lane] = []
        self._turns = Turns()
        self._quick = Turns()
        self._looking = False

    def start(self, lanes: int) -> None:
        """Begin to look for work, on so many lanes."""
        self._loop = asyncio.get_running_loop()
        self._lanes = [Lane(f"lane-{i}", self._loop) for i in range(lanes)]
        self._idle = list(self._lanes)

    @property
    def alive(self) -> bool:
        """Whether every lane is."""
        return bool(self._lanes) and all(lane.alive for lane in self._lanes)

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return len(self._idle) == len(self._lanes) and not self._turns and not self._quick

    def contended(self) -> bool:
        """Whether a queue waits for a lane."""
        return bool(self._turns)

    async def stop(self) -> None:
        """Finish what the lanes are at, and end them."""
        for lane in self._lanes:
            await asyncio.to_thread(lane.stop)

    def add(self, queue: Queue) -> None:
        """The queue may have work: give it a place in its round.

        The look for who is next is deferred to the end of this turn of the loop: requests read from several
        sockets in one turn share the first batch.
        """
        queue.gathering.came()
        self._place(queue)
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _place(self, queue: Queue) -> None:
        if queue:  # a loop that takes its turn has no other one now
            (self._quick if queue.quick else self._turns).add(queue)

    def _look(self) -> None:
        self._looking = False
        while self._idle and self._turns:
            self._start(self._turns.next())
        queue = self._quick.take(lambda queue: not queue.gathering.waits())
        if queue is not None:
            if queue.quick:
                self._run_here(queue)
            else:  # more have come since
                self._place(queue)
        if self._quick or (self._idle and self._turns):
            self._look_soon()  # sockets first: what they bring shares the next batch

    def _start(self, queue: Queue) -> None:
        """Give the queue's next turn to an idle lane."""
        turn = queue.form()
        self._place(queue)
        if turn is not None:
            lane = self._idle.pop()
            lane.submit(turn.run, partial(self._finish, lane, queue, turn))
            queue.form_ahead()

    def _run_here(self, queue: Queue) -> None:
        queue.gathering.begins()
        turn = queue.form()
        self._place(queue)
        if turn is not None:
            self._answer(queue, turn, attempt(turn.run))

    def _finish(self, lane: Lane, queue: Queue, turn: Turn, error: Exception | None) -> None:
        # The lane gets its next turn before this one's callers get their answers.
        self._idle.append(lane)
        queue.ended()
        self._place(queue)
        self._look()
        self._answer(queue, turn, error)

    def _answer(self, queue: Queue, turn: Turn, error: Exception | None) -> None:
        if error is None:
            turn.answer()
        else:
            turn.fail(error)
        if error is not None or turn.runs_again:
            self.add(queue)
        model = queue.model
        for run in turn.runs:
            model.statistics.ran(*run)
            metrics.batch_rows(model.name, model.version).observe(run.rows)
