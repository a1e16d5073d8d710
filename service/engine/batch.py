"""The batches that requests share: joined in rows, split when too long, sliced back.

Everything here is owned by the event loop, but `Batch.run`, which a lane calls.
"""

import logging
import time
from collections import deque
from collections.abc import Hashable, Mapping

import numpy as np

from service.engine.gathering import Gathering
from service.engine.line import Line
from service.engine.model import Model
from service.engine.request import Part, Request
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.engine.turns import Run
from service.errors import InternalError

log = logging.getLogger(__name__)


class Batch:
    """Parts of requests that one run answers; ``runs_again`` once some of them must run again."""

    def __init__(self, parts: list[Part], queue: "BatchQueue") -> None:
        self.parts = parts
        self.rows = sum(part.rows for part in parts)
        self.runs_again = False
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
        """The batch without the parts that nobody waits for; None where these are all."""
        parts = [part for part in self.parts if part.wanted]
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
        """Slice the results back to the requests (views, no copies), or have these run again, each by itself.

        That is where an output has other rows than the run had, which slicing would give to the wrong requests, and
        from then on for whatever else shared a run: by chance it may have the same number of rows.
        """
        began = time.perf_counter()
        results = dict(zip(self._outputs, self._results, strict=True))
        wrong = self._queue.session.wrong_rows(results, self.rows)
        if wrong:
            self._queue.keep_apart(wrong)
        alone = len(self.parts) == 1 and self.parts[0].alone
        if self._queue.session.stay_apart and not alone:
            self._again()
        elif wrong and not self._queue.any_rows:
            self._fail(wrong)
        else:
            self._slice(results)
        self._output_s = time.perf_counter() - began

    def fail(self, error: Exception) -> None:
        """Have each part run again by itself, so that none fails for another's rows; one alone has failed."""
        model = self._queue.model
        if len(self.parts) > 1:
            log.warning("model %s: a batch of %d requests failed; each runs again alone", model, len(self.parts))
            self._again()
        elif self.parts[0].wanted:
            log.error("model %s: a batch of %d rows failed", model, self.rows, exc_info=error)
            self._fail()

    def _slice(self, results: Mapping[str, Tensor]) -> None:
        row = 0
        for part in self.parts:
            end = row + part.rows
            whole = len(self.parts) == 1
            outputs = {name: results[name] if whole else results[name][row:end] for name in part.request.outputs}
            part.request.answer(part, outputs, self._started, self._compute_s)
            row = end

    def _again(self) -> None:
        self.runs_again = True
        self._queue.again(self.parts)

    def _fail(self, why: str = "") -> None:
        name = self._queue.model.name
        self.parts[0].request.fail(InternalError(f"model {name!r} failed on this request{why and ': '}{why}"))


class BatchQueue:
    """The requests that wait for one graph that runs once: a model's, the encoder of a loop, or a part.

    ``any_rows`` says that a request alone may be answered with other rows than it has, as a detector's boxes are.
    """

    def __init__(self, model: Model, session: Session, max_rows: int, *, any_rows: bool = False) -> None:
        self.model = model
        self.session = session
        self.any_rows = any_rows
        self.gathering = Gathering()
        self.line: Line[Request] = Line(model.name, model.card.serving, max_rows)
        # A graph without a batch dimension takes one request, which counts as one row.
        self._max_batch = session.graph.max_batch or 1
        specs = session.graph.inputs if self._max_batch > 1 else ()
        self._free_inputs = [spec.name for spec in specs if -1 in spec.shape[1:]]
        self._again: deque[Part] = deque()
        self._ahead: Batch | None = None
        self._closed: Exception | None = None

    def __bool__(self) -> bool:
        return bool(self.line or self._ahead or self._again)

    def signature(self, inputs: Tensors) -> Hashable:
        """Requests of equal signature may share a batch: their inputs differ in rows only."""
        return tuple([inputs[name].shape[1:] for name in self._free_inputs]) if self._free_inputs else ()

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
            if ahead is not None and self.session.stay_apart:
                self.again(ahead.parts)
            elif ahead is not None:
                return ahead
        while self._again:
            part = self._again.popleft()
            if part.wanted:
                return Batch([part], self)
        return self._gathered()

    def form_ahead(self) -> None:
        """Where a whole batch waits already, form the next one and copy its rows together now."""
        may = self._max_batch > 1 and not self.session.stay_apart
        if may and self._ahead is None and not self._again and self.line.rows >= self._max_batch:
            self._ahead = self._gathered()
            if self._ahead is not None:
                self._ahead.join()
                for part in self._ahead.parts:  # they wait on: admission counts them
                    self.line.wait_ahead(part.request, part.rows)

    def ended(self) -> None:
        """Nothing waits for it: turns of this queue may run side by side."""

    def keep_apart(self, why: str) -> None:
        """A run has shown that requests must not share one: from now on none do."""
        if not self.session.stay_apart:
            log.warning("model %s: from now on each request has runs of its own: %s", self.model, why)
            self.session.keep_apart(why)

    def again(self, parts: list[Part]) -> None:
        """Run these parts again, one by one; where requests must not share a run, all rows of each request in one."""
        for part in parts:
            if self._closed is not None:
                part.request.fail(self._closed)
            elif part.wanted:
                self._again.append(self._undivided(part.request) if self.session.stay_apart else part)

    def close(self, error: Exception) -> None:
        """Answer everyone who waits with ``error``; those who run get their answers."""
        self._closed = error
        self.line.fail(error)
        ahead = self._ahead.parts if self._ahead else []
        for part in (*ahead, *self._again):
            part.request.fail(error)

    def _gathered(self) -> Batch | None:
        first = request = self.line.first()
        if first is None:
            return None
        if self.session.stay_apart:
            return Batch([self._undivided(first)], self)
        parts: list[Part] = []
        free = self._max_batch
        while request is not None and free:
            rows = min(free, request.rows - request.taken)
            if not self._may_take(request, rows):
                break
            parts.append(request.part(rows))
            self.line.took(request, rows)
            free -= rows
            request = self.line.first_alike(first)
        return Batch(parts, self)

    def _undivided(self, request: Request) -> Part:
        """All rows of the request, with those that still wait in the line."""
        if request.taken < request.rows:
            self.line.took(request, request.rows - request.taken)
        return request.undivided()

    def _may_take(self, request: Request, rows: int) -> bool:
        """Only what no single batch could hold is split; anything else waits for a batch it fits whole."""
        return rows == request.rows - request.taken or request.rows > self._max_batch
