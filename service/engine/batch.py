"""Requests and the batches they share: joined in rows, split when too long, sliced back.

Everything here is owned by the event loop, but `Batch.run`, which a lane calls.
"""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from service.deadline import NEVER, Deadline
from service.engine.line import Line
from service.engine.model import Model
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.engine.turns import Run
from service.errors import InternalError

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What a caller gets: the outputs in the order asked for, and where the time went, in seconds.

    ``seed`` is what a loop's random numbers came from; None where there are none.
    """

    outputs: dict[str, Tensor]
    queue_s: float
    compute_s: float
    seed: int | None = None


@dataclass(slots=True, eq=False)
class Request:
    """Rows that wait for an answer. ``taken`` counts those already handed to a batch."""

    inputs: Tensors
    outputs: tuple[str, ...]
    rows: int
    future: asyncio.Future[Answer]
    level: int = 1
    deadline: Deadline = NEVER
    entered: float = field(default_factory=time.perf_counter)
    taken: int = 0
    answered: int = 0
    started: float = 0.0
    compute_s: float = 0.0
    parts: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        """Whether nothing may be begun for it: it is answered, its caller has left, or its deadline has passed.

        The timer that tells its caller of the deadline may be late, where the loop has much to do.
        """
        return self.future.done() or self.deadline.passed

    @property
    def signature(self) -> dict[str, tuple[int, ...]]:
        """Requests of equal signature may share a batch, whatever order they name their inputs in."""
        return {name: tensor.shape[1:] for name, tensor in self.inputs.items()}

    def part(self, rows: int) -> "Part":
        """The next ``rows`` rows, for a batch."""
        if rows == self.rows:
            return Part(self, 0, rows, self.inputs)
        end = self.taken + rows
        return Part(self, self.taken, rows, {n: t[self.taken : end] for n, t in self.inputs.items()})

    def answer(self, part: "Part", outputs: dict[str, Tensor], started: float, compute_s: float) -> None:
        """Keep the outputs of one part; the last part to come back completes the answer."""
        self.started = min(self.started or started, started)
        self.compute_s += compute_s
        self.answered += part.rows
        self.parts[part.start] = outputs
        if self.answered == self.rows and not self.future.done():
            self.future.set_result(Answer(self._joined(), self.started - self.entered, self.compute_s))

    def fail(self, error: Exception) -> None:
        """Answer with ``error``, unless the caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)

    def release(self) -> None:
        """Let go of the inputs, batches have their own, and of what was answered in part."""
        self.inputs = {}
        self.parts = {}

    def _joined(self) -> dict[str, Tensor]:
        if len(self.parts) == 1:
            return self.parts[0]
        # Lanes may have finished the parts in any order.
        parts = [self.parts[start] for start in sorted(self.parts)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}


class Part(NamedTuple):
    """Rows of one request from ``start`` on, and their inputs: a request drops its own when its caller goes."""

    request: Request
    start: int
    rows: int
    inputs: Tensors


class Batch:
    """Parts of requests that one run answers."""

    def __init__(self, parts: list[Part], queue: "BatchQueue") -> None:
        self.parts = parts
        self.rows = sum(part.rows for part in parts)
        self._queue = queue
        self._outputs = tuple(dict.fromkeys(name for part in parts for name in part.request.outputs))
        self._inputs: Tensors = {}
        self._results: list[Tensor] = []
        self._started = 0.0
        self._input_s = 0.0
        self._compute_s = 0.0
        self._output_s = 0.0

    @property
    def runs(self) -> list[Run]:
        """The one run."""
        return [Run(self.rows, len(self.parts), self._input_s, self._compute_s - self._input_s, self._output_s)]

    def living(self) -> "Batch | None":
        """The batch without the parts whose callers have gone; None where all have."""
        parts = [part for part in self.parts if not part.request.gone]
        if len(parts) == len(self.parts):
            return self
        return Batch(parts, self._queue) if parts else None

    def join(self) -> None:
        """Copy the parts' inputs together, where there are several."""
        first = self.parts[0].inputs
        single = len(self.parts) == 1
        self._inputs = first if single else {n: np.concatenate([p.inputs[n] for p in self.parts]) for n in first}

    def run(self) -> None:
        """Join the inputs and run the graph: the lane's share of the work."""
        self._started = time.perf_counter()
        if not self._inputs:
            self.join()
        joined = time.perf_counter()
        self._results = self._queue.session.run(self._outputs, self._inputs)
        ended = time.perf_counter()
        self._input_s, self._compute_s = joined - self._started, ended - self._started

    def answer(self) -> None:
        """Slice the results back to the requests (views, no copies)."""
        began = time.perf_counter()
        results = dict(zip(self._outputs, self._results, strict=True))
        row = 0
        for part in self.parts:
            end = row + part.rows
            whole = len(self.parts) == 1
            outputs = {name: results[name] if whole else results[name][row:end] for name in part.request.outputs}
            part.request.answer(part, outputs, self._started, self._compute_s)
            row = end
        self._output_s = time.perf_counter() - began

    def fail(self, error: Exception) -> None:
        """Have each part run again by itself, so that none fails for another's rows; one alone has failed."""
        model = self._queue.model
        if len(self.parts) > 1:
            log.warning("model %s: a batch of %d requests failed; each runs again alone", model, len(self.parts))
            self._queue.again(self.parts)
            return
        log.error("model %s: a batch of %d rows failed", model, self.rows, exc_info=error)
        self.parts[0].request.fail(InternalError(f"model {model.name!r} failed on this request"))


class BatchQueue:
    """The requests that wait for one graph that runs once: a model's, the encoder of a loop, or a part."""

    def __init__(self, model: Model, session: Session, max_rows: int) -> None:
        self.model = model
        self.session = session
        self.line: Line[Request] = Line(model.name, model.card.serving, max_rows)
        # A graph without a batch dimension takes one request, which counts as one row.
        self._max_batch = session.graph.max_batch or 1
        self._again: deque[Part] = deque()
        self._ahead: Batch | None = None
        self._closed: Exception | None = None

    def __bool__(self) -> bool:
        return bool(self.line or self._ahead or self._again)

    @property
    def quick(self) -> bool:
        """Whether the next batch takes less time than a hand-over to a lane."""
        rows = min(self.line.rows, self._max_batch)
        return not self._ahead and not self._again and rows <= self.session.inline_rows

    def form(self) -> Batch | None:
        """The next batch: what has gathered, of the first caller's signature; None where all have gone."""
        if self._ahead is not None:
            for part in self._ahead.parts:
                self.line.begin_ahead(part.request)
            ahead, self._ahead = self._ahead.living(), None
            if ahead is not None:
                return ahead
        while self._again:
            part = self._again.popleft()
            if not part.request.gone:
                return Batch([part], self)
        return self._gathered()

    def form_ahead(self) -> None:
        """Where a whole batch waits already, form the next one and copy its rows together now."""
        if self._ahead is None and not self._again and self.line.rows >= self._max_batch > 1:
            self._ahead = self._gathered()
            if self._ahead is not None:
                self._ahead.join()
                for part in self._ahead.parts:  # they wait on: admission counts them
                    self.line.wait_ahead(part.request, part.rows)

    def ended(self) -> None:
        """Nothing waits for it: turns of this queue may run side by side."""

    def again(self, parts: list[Part]) -> None:
        """Run these parts again, one by one."""
        if self._closed is None:
            self._again.extend(parts)
            return
        for part in parts:
            part.request.fail(self._closed)

    def close(self, error: Exception) -> None:
        """Answer everyone who waits with ``error``; those who run get their answers."""
        self._closed = error
        self.line.fail(error)
        ahead = self._ahead.parts if self._ahead else []
        for part in (*ahead, *self._again):
            part.request.fail(error)

    def _gathered(self) -> Batch | None:
        parts: list[Part] = []
        passed_over: list[Request] = []
        free = self._max_batch
        for request in self.line.waiting():
            rows = min(free, request.rows - request.taken)
            if parts and request.signature != parts[0].request.signature:
                passed_over.append(request)
            elif rows and self._may_take(request, rows):
                parts.append(request.part(rows))
                self.line.took(request, rows)
                free -= rows
                if request.taken < request.rows:
                    passed_over.append(request)
            else:
                passed_over.append(request)
                break
        self.line.put_back(passed_over)
        return Batch(parts, self) if parts else None

    def _may_take(self, request: Request, rows: int) -> bool:
        """Only what no single batch could hold is split; anything else waits for a batch it fits whole."""
        return rows == request.rows - request.taken or request.rows > self._max_batch
