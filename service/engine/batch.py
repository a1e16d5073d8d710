"""Requests and the batches they share: joined in rows, split when too long, sliced back.

Everything here is owned by the event loop, but `Batch.run`, which a lane calls.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors


class Answer(NamedTuple):
    """What a caller gets: the outputs in the order asked for, and where the time went, in seconds."""

    outputs: dict[str, Tensor]
    queue_s: float
    compute_s: float


@dataclass(slots=True, eq=False)
class Request:
    """Rows that wait for an answer. ``taken`` counts those already handed to a batch."""

    inputs: Tensors
    outputs: tuple[str, ...]
    rows: int
    future: asyncio.Future[Answer]
    entered: float = field(default_factory=time.perf_counter)
    taken: int = 0
    answered: int = 0
    started: float = 0.0
    compute_s: float = 0.0
    parts: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def signature(self) -> dict[str, tuple[int, ...]]:
        """Requests of equal signature may share a batch, whatever order they name their inputs in."""
        return {name: tensor.shape[1:] for name, tensor in self.inputs.items()}

    def take(self, rows: int) -> "Part":
        """The next ``rows`` rows, for a batch."""
        start, self.taken = self.taken, self.taken + rows
        if rows == self.rows:
            return Part(self, start, rows, self.inputs)
        return Part(self, start, rows, {n: t[start : self.taken] for n, t in self.inputs.items()})

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

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.rows = sum(part.rows for part in parts)
        self._outputs = tuple(dict.fromkeys(name for part in parts for name in part.request.outputs))
        self._results: list[Tensor] = []
        self._started = 0.0
        self._input_s = 0.0
        self._compute_s = 0.0
        self._output_s = 0.0

    def run(self, session: Session) -> None:
        """Join the inputs and run the graph: the lane's share of the work."""
        self._started = time.perf_counter()
        inputs = self._inputs()
        joined = time.perf_counter()
        self._results = session.run(self._outputs, inputs)
        ended = time.perf_counter()
        self._input_s, self._compute_s = joined - self._started, ended - self._started

    def answer(self) -> None:
        """Slice the results back to the requests (views, no copies)."""
        began = time.perf_counter()
        results = dict(zip(self._outputs, self._results, strict=True))
        row = 0
        for part in self.parts:
            outputs = {name: results[name][row : row + part.rows] for name in part.request.outputs}
            part.request.answer(part, outputs, self._started, self._compute_s)
            row += part.rows
        self._output_s = time.perf_counter() - began

    @property
    def stages_s(self) -> tuple[float, float, float]:
        """Seconds to join the inputs, to run the graph, to slice the outputs."""
        return self._input_s, self._compute_s - self._input_s, self._output_s

    def fail(self, error: Exception) -> None:
        """Answer every request of the batch with ``error``."""
        for part in self.parts:
            part.request.fail(error)

    def _inputs(self) -> Tensors:
        if len(self.parts) == 1:
            return self.parts[0].inputs
        return {n: np.concatenate([part.inputs[n] for part in self.parts]) for n in self.parts[0].inputs}


class BatchQueue:
    """The requests that wait for one model, first come first served.

    ``rows`` counts the rows of those whose caller still waits; it is what admission bounds.
    """

    def __init__(self, max_batch: int) -> None:
        self.rows = 0
        self._max_batch = max_batch
        self._waiting: deque[Request] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, request: Request) -> None:
        """Enter at the end."""
        self._waiting.append(request)
        self.rows += request.rows

    def leave(self, request: Request) -> None:
        """Give back the places of rows no batch has taken yet; called once for every request that joined.

        The request itself is skipped when the next batch forms: taking it out here would cost a search.
        """
        self.rows -= request.rows - request.taken
        request.inputs = {}

    def fail(self, error: Exception) -> None:
        """Answer everyone who waits with ``error``."""
        for request in self._live():
            request.fail(error)

    def form(self) -> Batch | None:
        """The next batch: what has gathered, of the first caller's signature; None where all have gone."""
        parts: list[Part] = []
        passed_over: list[Request] = []
        free = self._max_batch
        for request in self._live():
            rows = min(free, request.rows - request.taken)
            if parts and request.signature != parts[0].request.signature:
                passed_over.append(request)
            elif rows and self._may_take(request, rows):
                parts.append(request.take(rows))
                self.rows -= rows
                free -= rows
                if request.taken < request.rows:
                    passed_over.append(request)
            else:
                passed_over.append(request)
                break
        self._waiting.extendleft(reversed(passed_over))
        return Batch(parts) if parts else None

    def _may_take(self, request: Request, rows: int) -> bool:
        """Only what no single batch could hold is split; anything else waits for a batch it fits whole."""
        return rows == request.rows - request.taken or request.rows > self._max_batch

    def _live(self) -> Iterator[Request]:
        while self._waiting:
            request = self._waiting.popleft()
            if not request.future.done():
                yield request
