"""A request to a graph that runs once: its rows, the chunks that batches take, and its answer.

The event loop owns everything here.
"""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from service.deadline import NEVER, Deadline
from service.engine.tensors import Tensor, Tensors


class Answer(NamedTuple):
    """What a caller gets: the outputs in the requested order, and the time it took, in seconds.

    ``seed`` is what the random numbers of a step loop came from; None for other graphs.
    """

    outputs: dict[str, Tensor]
    queue_s: float
    compute_s: float
    seed: int | None = None


@dataclass(slots=True, eq=False)
class Request:
    """Rows that wait for an answer.

    Attributes:
        inputs: by name, (rows, ...) each.
        outputs: the names of the requested outputs.
        rows: how many rows it has.
        future: gets the answer.
        level: its priority in the queue; 1 is the highest.
        deadline: when the answer must be there.
        signature: requests of equal signature may share a batch.
        entered: when it arrived.
        taken: how many rows were handed to a batch.
        whole: all rows must run together; results of chunks that ran before, or still run, are ignored.
        answered: how many rows have results.
        started: when its first batch began to run; 0 before that.
        compute_s: the seconds its batches ran.
        chunks: the results by the first row of their chunk.
    """

    inputs: Tensors
    outputs: tuple[str, ...]
    rows: int
    future: asyncio.Future[Answer]
    level: int = 1
    deadline: Deadline = NEVER
    signature: Hashable = None
    entered: float = field(default_factory=time.perf_counter)
    taken: int = 0
    whole: bool = False
    answered: int = 0
    started: float = 0.0
    compute_s: float = 0.0
    chunks: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        """Whether no work may be started for it: it is answered, its caller has left, or its deadline has passed.

        The deadline is checked here because the timer that tells the caller may be late on a busy event loop.
        """
        return self.future.done() or time.perf_counter() >= self.deadline.at

    def chunk(self, rows: int) -> "Chunk":
        """The next ``rows`` rows, for a batch."""
        if rows == self.rows:
            return Chunk(self, 0, rows, self.inputs)
        end = self.taken + rows
        return Chunk(self, self.taken, rows, {n: t[self.taken : end] for n, t in self.inputs.items()})

    def undivided(self) -> "Chunk":
        """All rows as one chunk, for a run of their own."""
        self.whole, self.answered, self.chunks = True, 0, {}
        return Chunk(self, 0, self.rows, self.inputs)

    def answer(self, chunk: "Chunk", outputs: dict[str, Tensor], started: float, compute_s: float) -> None:
        """Keep the outputs of one chunk; the last one completes the answer."""
        if not chunk.wanted:
            return
        self.started = min(self.started or started, started)
        self.compute_s += compute_s
        self.answered += chunk.rows
        self.chunks[chunk.start] = outputs
        if self.answered == self.rows and not self.future.done():
            self.future.set_result(Answer(self._joined(), self.started - self.entered, self.compute_s))

    def fail(self, error: Exception) -> None:
        """Answer with ``error``, unless the request is answered or its caller has left."""
        if not self.future.done():
            self.future.set_exception(error)

    def release(self) -> None:
        """Free the inputs, of which batches have their own references, and the results so far."""
        self.inputs = {}
        self.chunks = {}

    def _joined(self) -> dict[str, Tensor]:
        if len(self.chunks) == 1:
            return self.chunks[0]
        # Lanes may have finished the chunks in any order.
        chunks = [self.chunks[start] for start in sorted(self.chunks)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in self.outputs}


class Chunk(NamedTuple):
    """Rows of one request from ``start`` on. It has their inputs, because a request frees its own when it ends."""

    request: Request
    start: int
    rows: int
    inputs: Tensors

    @property
    def alone(self) -> bool:
        """Whether it has all rows of its request."""
        return self.rows == self.request.rows

    @property
    def wanted(self) -> bool:
        """Whether its request waits for this chunk, and not for a run of all rows together."""
        return not self.request.gone and (self.alone or not self.request.whole)
