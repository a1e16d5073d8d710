"""Step loops: requests of different lengths share every step; a request joins at the next step and leaves after any.

The event loop owns the queue, and the work item that runs owns the slots: it adds new requests, takes steps on its
lane, and brings back what they emitted.
"""

import logging
import time
from collections.abc import Callable

from service.engine.gathering import Gathering
from service.engine.model import Model
from service.engine.request_queue import RequestQueue
from service.engine.sequence_group import StepResult
from service.engine.slots import Slots
from service.engine.step_request import StepRequest
from service.engine.work import Run
from service.errors import InternalError
from service.package import Loop

# While nothing else waits, a work item takes steps for this long: a step may be quicker than a hand-over to the lane.
RUN_ON_S = 0.001

log = logging.getLogger(__name__)


class StepLoop:
    """The work queue of a step loop: the requests that wait for slots, and the slots."""

    quick = False

    def __init__(self, model: Model, loop: Loop, max_rows: int, others_wait: Callable[[], bool]) -> None:
        self.model = model
        self.requests: RequestQueue[StepRequest] = RequestQueue(model.name, model.card.serving, max_rows)
        self.slots = Slots(loop, model.session)
        self.gathering = Gathering()
        self._max_rows = loop.max_batch
        self._others_wait = others_wait
        self._running = False
        self._active: list[StepRequest] = []

    def __bool__(self) -> bool:
        return not self._running and bool(self.requests or len(self.slots))

    def form(self) -> "StepWork | None":
        """The next work item, with the new requests that there is room for; None if no request is left."""
        newcomers: list[StepRequest] = []
        free = self._max_rows - self.slots.waited_for
        while (request := self.requests.first()) is not None and request.rows <= free:
            self.requests.take(request, request.rows)
            newcomers.append(request)
            free -= request.rows
        if not newcomers and not len(self.slots):
            return None
        self._running = True
        self._active += newcomers
        return StepWork(self, newcomers)

    def form_ahead(self) -> None:
        """Do nothing: what comes next is only known when this work item has ended."""

    def close(self, error: Exception) -> None:
        """Answer every request with ``error``."""
        self.requests.fail(error)
        for request in self._active:
            request.fail(error)

    def may_go_on(self) -> bool:
        """Whether the work item may take another step without keeping anything waiting; called on the lane."""
        crowded = self.requests.waiting > 0 and len(self.slots) < self._max_rows
        return bool(len(self.slots)) and not crowded and not self._others_wait()

    def ended(self) -> None:
        """The work item has ended; the next one may use the slots."""
        self._running = False

    def forget_gone(self) -> None:
        """Forget the requests that have ended."""
        self._active = [request for request in self._active if not request.gone]


class StepWork:
    """One step of all rows, or as many as fit into `RUN_ON_S` while nothing else waits."""

    runs_again = False

    def __init__(self, queue: StepLoop, newcomers: list[StepRequest]) -> None:
        self.runs: list[Run] = []
        self._queue = queue
        self._newcomers = newcomers
        self._results: list[StepResult] = []
        self._failed: dict[StepRequest, str] = {}  # with the reason, as far as it is known
        self._errors: list[tuple[int, Exception]] = []

    def run(self) -> None:
        """Add the new requests to the slots and take steps; a lane does this."""
        slots = self._queue.slots
        try:
            self._steps(slots)
        except Exception:
            # The next work item may run before the event loop learns of this, so the slots must be free by then.
            self._failed |= dict.fromkeys((*self._newcomers, *slots.requests), "")
            slots.drop(self._failed)
            raise

    def answer(self) -> None:
        """Give the requests what the steps gave."""
        for request in self._newcomers:
            request.inputs = request.encoded = {}
        for result in self._results:
            result.request.emit(result)
        for count, error in self._errors:
            log.error("model %s: a step failed for %d requests", self._queue.model, count, exc_info=error)
        for request, why in self._failed.items():
            request.fail(InternalError(f"model {self._queue.model.name!r} failed on this request{why and ': '}{why}"))
        self._queue.forget_gone()

    def fail(self, error: Exception) -> None:
        """End every request that was in the slots, after giving it what earlier steps gave."""
        log.error("model %s: its steps failed", self._queue.model, exc_info=error)
        self.answer()

    def _steps(self, slots: Slots) -> None:
        began = time.perf_counter()
        slots.drop([request for request in slots.requests if request.gone])
        for request in self._newcomers:
            request.started = began
            if not request.gone:
                slots.place(request)
        while len(slots):
            self._step(slots)
            # A new request gets the result of its first step at once.
            if self._newcomers or time.perf_counter() - began > RUN_ON_S or not self._queue.may_go_on():
                return
            slots.drop([request for request in slots.requests if request.gone])

    def _step(self, slots: Slots) -> None:
        try:
            run, results = slots.step()
        except Exception as error:  # ONNX Runtime's exception classes have no narrower common base
            self._drop_failing(slots, error)
            if not len(slots):
                return
            run, results = slots.step(again=True)
        self.runs.append(run)
        self._results += results

    def _drop_failing(self, slots: Slots, error: Exception) -> None:
        """Remove the requests whose rows fail alone, so that no request fails because of another's rows."""
        failing = slots.failing()
        if not failing:
            raise error
        slots.drop(failing)
        self._failed |= failing
        self._errors.append((len(failing), error))
