"""The gate: every request of every surface passes here, is counted, measured, and refused while draining."""

import asyncio
import logging
import time
from functools import partial
from types import TracebackType
from typing import Self

from service import metrics
from service.deadline import Deadline
from service.engine import Engine, Model
from service.errors import CallerGone, Draining, InternalError, LectoriumError
from service.tasks.answer import Timing
from service.tasks.caller import Caller

SURFACES = ("http", "oip_rest", "oip_grpc", "vision_grpc")

log = logging.getLogger(__name__)


class Call:
    """One request inside the gate, handled in this block, and what became known of it; whatever ends it is counted.

    ``deadline`` is when its answer must be there, for all of its stages; None while only the engine's own limit holds.
    ``connection`` is whose images it takes turns with; "" where nobody asked for that.
    A stage not reached stays None.

    Raises:
        Draining: the gate is closed.
        InternalError: in place of any exception that is no `LectoriumError`; the log has the trace.
    """

    __slots__ = (
        "_began",
        "_emitted",
        "_gate",
        "_held",
        "compute_s",
        "connection",
        "deadline",
        "decode_s",
        "model",
        "queue_s",
        "surface",
        "version",
    )

    def __init__(self, gate: "Gate", surface: str, deadline: Deadline | None = None, connection: str = "") -> None:
        self._gate = gate
        self.connection = connection
        self.surface = surface
        self.deadline = deadline
        self.model = self.version = ""
        self.decode_s: float | None = None
        self.queue_s: float | None = None
        self.compute_s: float | None = None
        self._emitted = False
        self._held: Model | None = None

    @property
    def caller(self) -> Caller:
        """The request, as those see it who decode its images."""
        return Caller(self.connection, self.deadline, partial(self._gate.count, self.surface))

    def for_model(self, model: Model) -> None:
        """The request is for this model."""
        self.model, self.version = model.name, model.version
        # Its series are dropped with it, and this request is yet to be counted there.
        self._held = model

    def record_stages(self, queue_s: float, compute_s: float, decode_s: float | None = None) -> None:
        """The answer's stages, in seconds."""
        self.queue_s, self.compute_s, self.decode_s = queue_s, compute_s, decode_s

    def record_timing(self, timing: Timing) -> None:
        """The same, as the answer of a task says it."""
        self.record_stages(timing.queue_ms / 1e3, timing.compute_ms / 1e3, timing.decode_ms / 1e3)

    def record_emission(self) -> None:
        """One emission more is on its way to the caller."""
        if not self._emitted:
            self._emitted = True
            seconds = time.perf_counter() - self._began
            metrics.first_emission(self.model, self.version, self.surface).observe(seconds)
        metrics.emissions(self.model, self.version, self.surface).inc()

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._gate.enter(self.surface)
        if self._gate.closed:
            refusal = Draining("the server is shutting down and takes no new requests")
            self.__exit__(Draining, refusal, None)
            raise refusal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave(self.surface)
        ended = self._ended(error)
        if ended is not None:
            metrics.rejections(self.model, self.version, self.surface, ended.reason).inc()
        self._record(ended.grpc_code if ended is not None else "OK")
        self._held = None
        if isinstance(ended, InternalError) and ended is not error:
            raise ended from error

    def _ended(self, error: BaseException | None) -> LectoriumError | None:
        """The error as one of ours."""
        if error is None or isinstance(error, LectoriumError):
            return error
        if isinstance(error, asyncio.CancelledError):
            return CallerGone("the caller left")
        if not isinstance(error, Exception):  # the process ends, not the request
            return None
        log.error("%s request for %r failed", self.surface, self.model, exc_info=error)
        return InternalError("internal error; the server's log has it")

    def _record(self, code: str) -> None:
        seconds = time.perf_counter() - self._began
        metrics.request_duration(self.model, self.version, self.surface, code).observe(seconds)
        if self.queue_s is None or self.compute_s is None:
            return
        labels = (self.model, self.version, self.surface)
        metrics.queue_duration(*labels).observe(self.queue_s)
        metrics.compute_duration(*labels).observe(self.compute_s)
        if self.decode_s is not None:
            metrics.decode_duration(*labels).observe(self.decode_s)


class Gate:
    """One for the whole process: knows how many requests are inside, and closes once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inside = dict.fromkeys(SURFACES, 0)
        self._count = 0
        self._opened = False
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()
        for surface in SURFACES:
            metrics.watch_in_flight(surface, partial(self._inside.__getitem__, surface))

    @property
    def serving(self) -> bool:
        """Whether new requests are taken, and those for a model that is loaded can be answered."""
        return self._opened and not self._closed and self._engine.alive

    @property
    def ready(self) -> bool:
        """Whether new requests are taken, and every model that was wanted at the start is there."""
        return not self.why_not_ready

    @property
    def why_not_ready(self) -> str:
        """What keeps the server from being ready; empty where nothing does."""
        if self._closed:
            return "the server is shutting down"
        return self._engine.why_not_ready if self._opened else "the server is starting"

    @property
    def closed(self) -> bool:
        """Whether the server is draining."""
        return self._closed

    def call(self, surface: str, deadline: Deadline | None = None, connection: str = "") -> Call:
        """Handle one request: ``with gate.call(surface) as call: ...``."""
        return Call(self, surface, deadline, connection)

    def open(self) -> None:
        """Every port listens: be ready."""
        self._opened = True

    def close(self) -> None:
        """Be not ready, and refuse new requests."""
        self._closed = True

    async def drained(self, grace_s: float) -> None:
        """Wait for the requests inside, but no longer than ``grace_s``."""
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("drain: %d request(s) still in flight after %g s", self._count, grace_s)

    def enter(self, surface: str) -> None:
        """One request more is inside."""
        self.count(surface, 1)

    def leave(self, surface: str) -> None:
        """One less."""
        self.count(surface, -1)

    def count(self, surface: str, change: int) -> None:
        """So many more of a surface's requests are inside: those whose work goes on without them are, too."""
        self._inside[surface] += change
        self._count += change
        if self._count:
            self._empty.clear()
        else:
            self._empty.set()
