"""A request that runs once: its rows, the parts of it that batches take, and its answer.

Everything here is owned by the event loop.
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
    """What a caller gets: the outputs in the order asked for, and where the time went, in seconds.

    ``seed`` is what a loop's random numbers came from; None where there are none.
    """

    outputs: dict[str, Tensor]
    queue_s: float
    compute_s: float
    seed: int | None = None


@dataclass(slots=True, eq=False)
class Request:
    """Rows that wait for an answer. ``taken`` counts those already handed to a batch.

    Requests of equal ``signature`` may share a batch. One that is ``whole`` runs undivided: what came of parts of it
    before, or still comes, does not count.
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
    parts: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        """Whether nothing may be begun for it: it is answered, its caller has left, or its deadline has passed.

        The timer that tells its caller of the deadline may be late, where the loop has much to do.
        """
        return self.future.done() or time.perf_counter() >= self.deadline.at

    def part(self, rows: int) -> "Part":
        """The next ``rows`` rows, for a batch."""
        if rows == self.rows:
            return Part(self, 0, rows, self.inputs)
        end = self.taken + rows
        return Part(self, self.taken, rows, {n: t[self.taken : end] for n, t in self.inputs.items()})

    def undivided(self) -> "Part":
        """All rows, for a run of their own."""
        self.whole, self.answered, self.parts = True, 0, {}
        return Part(self, 0, self.rows, self.inputs)

    def answer(self, part: "Part", outputs: dict[str, Tensor], started: float, compute_s: float) -> None:
        """Keep the outputs of one part; the last part to come back completes the answer."""
        if not part.wanted:
            return
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

    @property
    def alone(self) -> bool:
        """Whether it is all of its request."""
        return self.rows == self.request.rows

    @property
    def wanted(self) -> bool:
        """Whether its request waits for it, and not for a run of all its rows."""
        return not self.request.gone and (self.alone or not self.request.whole)
