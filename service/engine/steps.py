"""Step loops: requests of different lengths share every step, join at the next one and leave after any.

The queue belongs to the event loop, the slots to the turn that runs: a turn takes newcomers along, steps on its
lane, and brings back what was emitted.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from service.deadline import NEVER, Deadline
from service.engine.decoding import Choosing
from service.engine.gathering import Gathering
from service.engine.line import Line
from service.engine.model import Model
from service.engine.slots import Slots
from service.engine.tenancy import Stepped
from service.engine.tensors import Tensor, Tensors
from service.engine.turns import Run
from service.errors import CallerBehind, InternalError
from service.package import Loop

# While nobody else waits, a turn goes on for so long: a step may be quicker than the way to the loop and back.
TURN_S = 0.001
# Of emissions their caller has not read yet. One that is further behind is let go: they would fill the memory.
MAX_UNREAD_BYTES = 16 << 20
_EMISSION_BYTES = 1 << 10  # what one takes beside its arrays, generously

log = logging.getLogger(__name__)


class Emission(NamedTuple):
    """What one step gave a request: ``outputs`` (rows, ...), and ``last`` with those it answers at its end.

    ``seed`` gives the same emissions again; ``queue_s`` is how long its request waited, for its encoder's run and for
    its first step.
    """

    step: int
    outputs: dict[str, Tensor]
    last: bool
    seed: int
    queue_s: float

    @property
    def bytes(self) -> int:
        """The memory it takes, about."""
        return _EMISSION_BYTES + sum(tensor.nbytes for tensor in self.outputs.values())


@dataclass(slots=True, eq=False)
class StepRequest:
    """Rows that take steps; iterate it for what they emit."""

    inputs: Tensors
    encoded: Tensors
    outputs: tuple[str, ...]
    rows: int
    steps: int
    seed: int
    level: int = 1
    choosing: Choosing | None = None
    deadline: Deadline = NEVER
    entered: float = field(default_factory=time.perf_counter)
    encode_s: float = 0.0
    started: float = 0.0
    taken: int = 0
    _ended: bool = False
    _emitted: deque[Emission | Exception] = field(default_factory=deque)
    _unread: int = 0  # bytes
    _listener: asyncio.Future[None] | None = None

    @property
    def signature(self) -> None:
        """Rows of all requests may share a step."""

    @property
    def gone(self) -> bool:
        """Whether no step may be begun for it: it has ended, its caller has left, or its deadline has passed.

        The timer that tells its caller of the deadline may be late, where the loop has much to do.
        """
        return self._ended or self.deadline.passed

    def emit(self, stepped: Stepped) -> None:
        """Hand the caller what a step gave, unless it has gone; let it go where it is too far behind."""
        if self._ended:
            return
        given = stepped.outputs
        outputs = {name: given[name] for name in self.outputs if name in given}
        emission = Emission(stepped.step, outputs, stepped.last, self.seed, self._waited_s)
        self._unread += emission.bytes
        if self._emitted and self._unread > MAX_UNREAD_BYTES:
            self.fail(CallerBehind(f"{len(self._emitted)} emissions, {self._unread} bytes, wait for their caller"))
            return
        self._tell(emission)
        self._ended = stepped.last

    @property
    def _waited_s(self) -> float:
        return self.started - self.entered - self.encode_s

    def fail(self, error: Exception) -> None:
        """End with ``error``, unless it has ended."""
        if not self._ended:
            self._ended = True
            self._tell(error)

    def release(self) -> None:
        """Nobody listens any more: the next step is without these rows."""
        self._ended = True
        if not self.taken:  # else a lane may be reading them
            self.inputs = self.encoded = {}

    async def next(self) -> Emission:
        """What comes next; none comes after the last."""
        if not self._emitted:
            self._listener = asyncio.get_running_loop().create_future()
            try:
                await self._listener
            finally:
                self._listener = None
        emission = self._emitted.popleft()
        if isinstance(emission, Exception):
            raise emission
        self._unread -= emission.bytes
        return emission

    def _tell(self, news: Emission | Exception) -> None:
        self._emitted.append(news)
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(None)


class StepLoop:
    """The queue of a loop: who waits for slots, and the slots."""

    quick = False

    def __init__(self, model: Model, loop: Loop, max_rows: int, others_wait: Callable[[], bool]) -> None:
        self.model = model
        self.line: Line[StepRequest] = Line(model.name, model.card.serving, max_rows)
        self.slots = Slots(loop, model.session)
        self.gathering = Gathering()
        self._max_rows = loop.max_batch
        self._others_wait = others_wait
        self._running = False
        self._active: list[StepRequest] = []

    def __bool__(self) -> bool:
        return not self._running and bool(self.line or len(self.slots))

    def form(self) -> "StepTurn | None":
        """The next turn, with whom there is room for; None where nobody is left."""
        newcomers: list[StepRequest] = []
        free = self._max_rows - self.slots.listening
        while (request := self.line.first()) is not None and request.rows <= free:
            self.line.took(request, request.rows)
            newcomers.append(request)
            free -= request.rows
        if not newcomers and not len(self.slots):
            return None
        self._running = True
        self._active += newcomers
        return StepTurn(self, newcomers)

    def form_ahead(self) -> None:
        """Nothing is certain of the next turn before this one has ended."""

    def close(self, error: Exception) -> None:
        """Answer everyone inside with ``error``."""
        self.line.fail(error)
        for request in self._active:
            request.fail(error)

    def may_go_on(self) -> bool:
        """Whether a turn's next step would keep nobody waiting (asked on the lane)."""
        crowded = self.line.callers > 0 and len(self.slots) < self._max_rows
        return bool(len(self.slots)) and not crowded and not self._others_wait()

    def ended(self) -> None:
        """The turn is over; the slots are free for the next one."""
        self._running = False

    def forget_gone(self) -> None:
        """Let go of requests that have ended."""
        self._active = [request for request in self._active if not request.gone]


class StepTurn:
    """One step of all rows, or as many as fit into `TURN_S` while nobody else waits."""

    runs_again = False

    def __init__(self, queue: StepLoop, newcomers: list[StepRequest]) -> None:
        self.runs: list[Run] = []
        self._queue = queue
        self._newcomers = newcomers
        self._stepped: list[Stepped] = []
        self._failed: dict[StepRequest, str] = {}  # with what is known of why
        self._errors: list[tuple[int, Exception]] = []

    def run(self) -> None:
        """Let the newcomers in and step: the lane's share."""
        slots = self._queue.slots
        try:
            self._steps(slots)
        except Exception:
            # The next turn may run before the loop hears of this: the slots must be free by now.
            self._failed |= dict.fromkeys((*self._newcomers, *slots.tenants), "")
            slots.drop(self._failed)
            raise

    def answer(self) -> None:
        """Hand out what the steps gave."""
        for request in self._newcomers:
            request.inputs = request.encoded = {}
        for stepped in self._stepped:
            stepped.tenant.emit(stepped)
        for count, error in self._errors:
            log.error("model %s: a step failed for %d requests", self._queue.model, count, exc_info=error)
        for request, why in self._failed.items():
            request.fail(InternalError(f"model {self._queue.model.name!r} failed on this request{why and ': '}{why}"))
        self._queue.forget_gone()

    def fail(self, error: Exception) -> None:
        """End every request that was in the slots, once it has what the steps before gave."""
        log.error("model %s: a turn failed", self._queue.model, exc_info=error)
        self.answer()

    def _steps(self, slots: Slots) -> None:
        began = time.perf_counter()
        slots.drop([request for request in slots.tenants if request.gone])
        for request in self._newcomers:
            request.started = began
            if not request.gone:
                slots.place(request)
        while len(slots):
            self._step(slots)
            # A newcomer gets what its first step gave at once.
            if self._newcomers or time.perf_counter() - began > TURN_S or not self._queue.may_go_on():
                return
            slots.drop([request for request in slots.tenants if request.gone])

    def _step(self, slots: Slots) -> None:
        try:
            run, stepped = slots.step()
        except Exception as error:  # the library's own exception classes share no narrower base
            self._drop_failing(slots, error)
            if not len(slots):
                return
            run, stepped = slots.step(again=True)
        self.runs.append(run)
        self._stepped += stepped

    def _drop_failing(self, slots: Slots, error: Exception) -> None:
        """Take out the requests whose rows fail by themselves, so that none fails for another's rows."""
        failing = slots.failing()
        if not failing:
            raise error
        slots.drop(failing)
        self._failed |= failing
        self._errors.append((len(failing), error))
