"""The engine: one loop owns the queues, few lanes run the graphs.

Work is chosen when a lane falls free, never by a timer: what has gathered meanwhile is the batch. A batch that
runs quicker than two threads hand it over runs on the loop itself, in the lane's turn.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from types import TracebackType

from service import metrics
from service.config import Config
from service.engine.batch import Answer, Batch, BatchQueue, Request
from service.engine.cores import usable_cores
from service.engine.lane import Lane, attempt
from service.engine.repository import Model, Repository
from service.engine.tensors import Tensors, check_inputs, check_outputs
from service.errors import DeadlineExceeded, Draining, InternalError, QueueFull

_STOPPED = "the engine has stopped"

log = logging.getLogger(__name__)


class Engine:
    """Serves the packages of one repository. Enter it on the loop that will call it::

        async with Engine(config) as engine:
            answer = await engine.infer("lenet5", None, {"image": images})

    Raises:
        InvalidPackage: at entry, if any package of the repository may not be served.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        cores = usable_cores()
        self._intra_op = config.intra_op or min(cores, 4)
        self._lane_count = config.lanes or max(1, cores // self._intra_op)
        self._lanes: list[Lane] = []
        self._idle: list[Lane] = []
        self._queues: dict[Model, BatchQueue] = {}
        self._turns: deque[Model] = deque()
        self._dispatching = False
        self._stopped = False

    async def __aenter__(self) -> "Engine":
        self._loop = asyncio.get_running_loop()
        self.repository = await asyncio.to_thread(Repository, self._config.repository, self._intra_op)
        self._queues = {model: BatchQueue(model.card.graph.max_batch) for model in self.repository}
        self._lanes = [Lane(f"lane-{i}", self._loop) for i in range(self._lane_count)]
        self._idle = list(self._lanes)
        for model, queue in self._queues.items():
            metrics.watch_queue(model.name, model.version, queue)
        log.info("engine: %d lane(s) x %d thread(s)", self._lane_count, self._intra_op)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        for queue in self._queues.values():
            queue.fail(Draining(_STOPPED))
        for lane in self._lanes:
            await asyncio.to_thread(lane.stop)

    @property
    def ready(self) -> bool:
        """Every package is loaded and warm, and every lane alive."""
        return bool(self._lanes) and all(lane.alive for lane in self._lanes)

    async def infer(
        self,
        name: str,
        version: str | None,
        inputs: Tensors,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Answer:
        """Run the model on ``inputs``, sharing a batch with whoever comes at the same time.

        Args:
            name: the model's name.
            version: its version; None or "" for the highest.
            inputs: one array for each input of the graph, all with the same number of rows.
            outputs: the outputs wanted, in that order; all where empty.
            timeout_s: the caller's deadline, from now; None for the configured one, which also is the latest.

        Raises:
            UnknownModel, InvalidArgument: the request names or holds what the model does not have or take.
            QueueFull: more rows wait than ``max_queue_rows``.
            DeadlineExceeded: no answer within ``timeout_s``.
            Draining: the engine has stopped.
            InternalError: the graph failed to run; the log says why.
        """
        model = self.repository.get(name, version)
        rows = check_inputs(name, model.card.graph.inputs, inputs)
        wanted = check_outputs(name, model.card.graph.outputs, tuple(outputs))
        queue = self._admit(model, rows)
        request = Request(inputs, wanted, rows, self._loop.create_future())
        timeout_s = self._config.timeout_s if timeout_s is None else min(timeout_s, self._config.timeout_s)
        deadline = self._loop.call_later(timeout_s, _expire, request, name, timeout_s)
        queue.join(request)
        self._turn(model)
        try:
            answer = await request.future
        except BaseException:  # a cancellation too: the request has failed, whoever ended it
            model.statistics.fail.add(time.perf_counter() - request.entered)
            raise
        finally:
            deadline.cancel()
            queue.leave(request)
        model.statistics.succeeded(time.perf_counter() - request.entered, answer.queue_s)
        return answer

    def _admit(self, model: Model, rows: int) -> BatchQueue:
        if self._stopped:
            raise Draining(_STOPPED)
        queue = self._queues[model]
        limit = self._config.max_queue_rows
        # A request larger than the whole queue is let in where nobody waits: else it could never be.
        if queue.rows + rows > limit and queue.rows:
            raise QueueFull(f"model {model.name!r}: {queue.rows} rows wait, {rows} came, {limit} may; try again later")
        return queue

    def _turn(self, model: Model) -> None:
        """Put the model in the round of those that have work, and look for a free lane.

        The look is deferred to the end of this turn of the loop: requests read from several sockets in one
        turn share the first batch.
        """
        if model not in self._turns:
            self._turns.append(model)
        self._look()

    def _look(self) -> None:
        if self._idle and self._turns and not self._dispatching:
            self._dispatching = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._dispatching = False
        while self._idle and self._turns:
            model = self._turns.popleft()
            queue = self._queues[model]
            batch = queue.form()
            if queue:
                self._turns.append(model)
            if batch is None:
                continue
            metrics.batch_rows(model.name, model.version).observe(batch.rows)
            work = partial(batch.run, model.session)
            if batch.rows <= model.inline_rows:
                self._answer(model, batch, attempt(work))
                self._look()  # sockets first: what they bring shares the next batch
                return
            lane = self._idle.pop()
            lane.submit(work, partial(self._finish, lane, model, batch))

    def _finish(self, lane: Lane, model: Model, batch: Batch, error: Exception | None) -> None:
        # The lane gets its next batch before this one's callers get their answers.
        self._idle.append(lane)
        self._dispatch()
        self._answer(model, batch, error)

    def _answer(self, model: Model, batch: Batch, error: Exception | None) -> None:
        if error is None:
            batch.answer()
            model.statistics.ran(batch.rows, len(batch.parts), *batch.stages_s)
        else:
            log.error(
                "model %s/%s: a batch of %d rows failed",
                model.name,
                model.version,
                batch.rows,
                exc_info=error,
            )
            batch.fail(InternalError(f"model {model.name!r} failed on this batch"))


def _expire(request: Request, name: str, timeout_s: float) -> None:
    request.fail(DeadlineExceeded(f"model {name!r}: no answer in {timeout_s:g} s"))
