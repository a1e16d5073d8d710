"""Batches: the rows of several requests are joined for one run, and its results are sliced back to the requests.

The event loop owns everything here, except that a lane calls `Batch.run`.
"""

import logging
import time
from collections import deque
from collections.abc import Hashable, Mapping
from math import prod

import numpy as np

from service.engine.gathering import Gathering
from service.engine.model import Model
from service.engine.request import Chunk, Request
from service.engine.request_queue import RequestQueue
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.engine.work import Run
from service.errors import InternalError

log = logging.getLogger(__name__)


class Batch:
    """Chunks of requests that one run answers; ``runs_again`` says that some of them must run again."""

    def __init__(self, chunks: list[Chunk], queue: "BatchQueue") -> None:
        self.chunks = chunks
        self.rows = sum(chunk.rows for chunk in chunks)
        self.runs_again = False
        self._queue = queue
        self._outputs = tuple(dict.fromkeys(name for chunk in chunks for name in chunk.request.outputs))
        self._inputs: Tensors = {}
        self._results: list[Tensor] = []
        self._started = 0.0
        self._input_s = 0.0
        self._compute_s = 0.0
        self._output_s = 0.0

    @property
    def runs(self) -> list[Run]:
        """The one run that it made."""
        return [Run(self.rows, len(self.chunks), self._input_s, self._compute_s - self._input_s, self._output_s)]

    def living(self) -> "Batch | None":
        """The batch without the chunks that nobody waits for; None if that leaves nothing."""
        chunks = [chunk for chunk in self.chunks if chunk.wanted]
        if len(chunks) == len(self.chunks):
            return self
        return Batch(chunks, self._queue) if chunks else None

    def join(self) -> None:
        """Copy the inputs of several chunks together."""
        first = self.chunks[0].inputs
        single = len(self.chunks) == 1
        self._inputs = first if single else {n: np.concatenate([p.inputs[n] for p in self.chunks]) for n in first}

    def run(self) -> None:
        """Join the inputs and run the graph; a lane does this."""
        self._started = time.perf_counter()
        if not self._inputs:
            self.join()
        joined = time.perf_counter()
        self._results = self._queue.session.run(self._outputs, self._inputs)
        ended = time.perf_counter()
        self._input_s, self._compute_s = joined - self._started, ended - self._started

    def answer(self) -> None:
        """Slice the results back to the requests (views, no copies), or let the requests run again one by one.

        They run again if an output has another number of rows than the run had, because slices would then go to the
        wrong requests. From then on no requests of this graph share a run: the number might be right by chance.
        """
        began = time.perf_counter()
        results = dict(zip(self._outputs, self._results, strict=True))
        wrong = self._queue.session.wrong_rows(results, self.rows)
        if wrong:
            self._queue.keep_apart(wrong)
        alone = len(self.chunks) == 1 and self.chunks[0].alone
        if self._queue.session.stay_apart and not alone:
            self._again()
        elif wrong and not self._queue.any_rows:
            self._fail(wrong)
        else:
            self._slice(results)
        self._output_s = time.perf_counter() - began

    def fail(self, error: Exception) -> None:
        """Let each chunk run again alone, so that none fails because of another's rows; fail one that ran alone."""
        model = self._queue.model
        if len(self.chunks) > 1:
            log.warning("model %s: a batch of %d requests failed; each runs again alone", model, len(self.chunks))
            self._again()
        elif self.chunks[0].wanted:
            log.error("model %s: a batch of %d rows failed", model, self.rows, exc_info=error)
            self._fail()

    def _slice(self, results: Mapping[str, Tensor]) -> None:
        row = 0
        for chunk in self.chunks:
            end = row + chunk.rows
            whole = len(self.chunks) == 1
            outputs = {name: results[name] if whole else results[name][row:end] for name in chunk.request.outputs}
            chunk.request.answer(chunk, outputs, self._started, self._compute_s)
            row = end

    def _again(self) -> None:
        self.runs_again = True
        self._queue.again(self.chunks)

    def _fail(self, why: str = "") -> None:
        name = self._queue.model.name
        self.chunks[0].request.fail(InternalError(f"model {name!r} failed on this request{why and ': '}{why}"))


class BatchQueue:
    """The requests that wait for one graph that runs once: a model's, a step loop's encoder, or a card's part.

    ``any_rows`` says that the outputs of a request may have another number of rows than its inputs, as a detector's
    boxes have.
    """

    def __init__(self, model: Model, session: Session, max_rows: int, *, any_rows: bool = False) -> None:
        self.model = model
        self.session = session
        self.any_rows = any_rows
        self.gathering = Gathering()
        self.requests: RequestQueue[Request] = RequestQueue(model.name, model.card.serving, max_rows)
        # A graph without a batch dimension takes one request, which counts as one row.
        self._max_batch = session.graph.max_batch or 1
        specs = session.graph.inputs if self._max_batch > 1 else ()
        self._free_inputs = [spec.name for spec in specs if -1 in spec.shape[1:]]
        most = model.most_row_elements
        self._most_elements = {name: most[name] for name in self._free_inputs if name in most}
        self._again: deque[Chunk] = deque()
        self._ahead: Batch | None = None
        self._closed: Exception | None = None

    def __bool__(self) -> bool:
        return bool(self.requests or self._ahead or self._again)

    def signature(self, inputs: Tensors) -> Hashable:
        """The signature of a request with these inputs: requests of equal signature differ in their rows only."""
        return tuple([inputs[name].shape[1:] for name in self._free_inputs]) if self._free_inputs else ()

    @property
    def quick(self) -> bool:
        """Whether the next batch takes less time than handing it to a lane."""
        rows = min(self.requests.rows, self._max_batch)
        return not self._ahead and not self._again and rows <= self.session.inline_rows

    def form(self) -> Batch | None:
        """The next batch: waiting requests of the first one's signature; None if all have gone."""
        if self._ahead is not None:
            for chunk in self._ahead.chunks:
                self.requests.begin_ahead(chunk.request)
            ahead, self._ahead = self._ahead.living(), None
            if ahead is not None and self.session.stay_apart:
                self.again(ahead.chunks)
            elif ahead is not None:
                return ahead
        while self._again:
            chunk = self._again.popleft()
            if chunk.wanted:
                return Batch([chunk], self)
        return self._gathered()

    def form_ahead(self) -> None:
        """If enough rows for a full batch wait, form it and copy its rows together now."""
        may = self._max_batch > 1 and not self.session.stay_apart
        if may and self._ahead is None and not self._again and self.requests.rows >= self._max_batch:
            self._ahead = self._gathered()
            if self._ahead is not None:
                self._ahead.join()
                for chunk in self._ahead.chunks:  # they still wait, so admission counts them
                    self.requests.wait_ahead(chunk.request, chunk.rows)

    def ended(self) -> None:
        """Nothing to do: batches of this queue may run side by side."""

    def keep_apart(self, why: str) -> None:
        """Let no requests share a run from now on, because a run has shown ``why`` they must not."""
        if not self.session.stay_apart:
            log.warning("model %s: from now on each request has runs of its own: %s", self.model, why)
            self.session.keep_apart(why)

    def again(self, chunks: list[Chunk]) -> None:
        """Run these chunks again one by one, or whole requests one by one if they must not share a run."""
        for chunk in chunks:
            if self._closed is not None:
                chunk.request.fail(self._closed)
            elif chunk.wanted:
                self._again.append(self._undivided(chunk.request) if self.session.stay_apart else chunk)

    def close(self, error: Exception) -> None:
        """Answer every waiting request with ``error``; requests that run get their answers."""
        self._closed = error
        self.requests.fail(error)
        ahead = self._ahead.chunks if self._ahead else []
        for chunk in (*ahead, *self._again):
            chunk.request.fail(error)

    def _gathered(self) -> Batch | None:
        first = request = self.requests.first()
        if first is None:
            return None
        if self.session.stay_apart:
            return Batch([self._undivided(first)], self)
        chunks: list[Chunk] = []
        free = most = self._most_rows(first)
        while request is not None and free:
            rows = min(free, request.rows - request.taken)
            if not self._may_take(request, rows, most):
                break
            chunks.append(request.chunk(rows))
            self.requests.take(request, rows)
            free -= rows
            request = self.requests.first_alike(first)
        return Batch(chunks, self)

    def _undivided(self, request: Request) -> Chunk:
        """All rows of the request, including those that still wait in the queue."""
        if request.taken < request.rows:
            self.requests.take(request, request.rows - request.taken)
        return request.undivided()

    def _most_rows(self, request: Request) -> int:
        """The most rows of a run with this request: fewer if they are larger than those the model is made for."""
        bounds = [most // prod(request.inputs[name].shape[1:]) for name, most in self._most_elements.items()]
        return min([self._max_batch, *bounds])

    def _may_take(self, request: Request, rows: int, most: int) -> bool:
        """Whether ``rows`` are all that is left: only a request that no batch of ``most`` rows could hold is split."""
        return rows == request.rows - request.taken or request.rows > most
