"""The gate: every request of every port passes here, reads included, is checked, and counted by how it ended."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from types import TracebackType
from typing import Self

from service import metrics
from service.deadline import Deadline
from service.engine import Engine, Model
from service.errors import CallerGone, Draining, InternalError, LectoriumError
from service.surfaces.client import Client
from service.tasks.answer import Timing
from service.tasks.caller import Caller

# Where work comes from. Reads have other surfaces beside these: "metrics", "grpc_health" and "grpc_reflection".
SURFACES = ("http", "oip_rest", "oip_grpc", "vision_grpc")

log = logging.getLogger(__name__)


class Kind(Enum):
    """What a request is for."""

    INFERENCE = auto()
    # Changes what is served.
    CONTROL = auto()
    # Asks what is served, or how the server does. It is answered while the server drains, which does not wait for it,
    # and has its own counter, so that scrapers and probes do not appear in the figures of inference.
    READ = auto()


# Looked up for every request, and slow to find in the class.
_READ = Kind.READ


class Call:
    """One request inside the gate, handled in this block, and what becomes known of it; however it ends, it is counted.

    Attributes:
        surface: where it came in; labels its metrics.
        client: who sent it, with the request's headers or metadata.
        kind: what it is for.
        deadline: when its answer must be there, for all of its stages; None while only the engine's own limit holds.
        model, version: what it asks for; "" until that is known.
        code: of a read that was answered by an app of its own: the gRPC name of that answer's status.

    Raises:
        Draining: the server is shutting down, and this is no read.
        LectoriumError: a check of the gate refuses the request.
        InternalError: in place of any exception that is no `LectoriumError`; the log has the trace.
    """

    __slots__ = (
        "_began",
        "_emitted",
        "_gate",
        "_held",
        "_stages",
        "client",
        "code",
        "deadline",
        "kind",
        "model",
        "surface",
        "version",
    )

    def __init__(self, gate: "Gate", surface: str, client: Client, kind: Kind, deadline: Deadline | None) -> None:
        self._gate = gate
        self.surface = surface
        self.client = client
        self.kind = kind
        self.deadline = deadline
        self.model = self.version = ""
        self.code = "OK"
        self._stages: tuple[float, float, float | None] | None = None
        self._emitted = False
        self._held: Model | None = None

    @property
    def caller(self) -> Caller:
        """The request, as those see it who decode its images."""
        return Caller(self.client.peer, self.deadline, partial(self._gate.count, self.surface))

    def for_model(self, model: Model) -> None:
        """Say which model the request is for."""
        self.model, self.version = model.name, model.version
        # The series of an unloaded model are dropped when nobody holds it any more; this request must be counted first.
        self._held = model

    def record_stages(self, queue_s: float, compute_s: float, decode_s: float | None = None) -> None:
        """Say how long the answer's stages took, in seconds."""
        self._stages = queue_s, compute_s, decode_s

    def record_timing(self, timing: Timing) -> None:
        """Say it as the answer of a task does."""
        self.record_stages(timing.queue_ms / 1e3, timing.compute_ms / 1e3, timing.decode_ms / 1e3)

    def record_emission(self) -> None:
        """Count one more emission on its way to the caller."""
        if not self._emitted:
            self._emitted = True
            seconds = time.perf_counter() - self._began
            metrics.first_emission(self.model, self.version, self.surface).observe(seconds)
        metrics.emissions(self.model, self.version, self.surface).inc()

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        if self.kind is not _READ:
            self._gate.count(self.surface, 1)
        try:
            self._gate.check(self)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.kind is not _READ:
            self._gate.count(self.surface, -1)
        ended = None if error is None else self._ended(error)
        self._record(ended)
        self._held = None
        if isinstance(ended, InternalError) and ended is not error:
            try:
                raise ended from error
            finally:
                # The tracebacks hold this frame, and the frames that hold the request: with the errors in this one, all
                # of that would live until the garbage collector runs, which is seldom.
                del ended, error

    def _ended(self, error: BaseException) -> LectoriumError | None:
        """The error as one of ours."""
        if isinstance(error, LectoriumError):
            return error
        if isinstance(error, asyncio.CancelledError):
            return CallerGone("the caller left")
        if not isinstance(error, Exception):  # the process ends, not the request
            return None
        log.error("%s request for %r failed", self.surface, self.model, exc_info=error)
        return InternalError("internal error; the server's log has it")

    def _record(self, error: LectoriumError | None) -> None:
        code = self.code if error is None else error.grpc_code
        if self.kind is _READ:
            metrics.reads(self.surface, code).inc()
            return
        model, version, surface = self.model, self.version, self.surface
        if error is not None:
            metrics.rejections(model, version, surface, error.reason).inc()
        metrics.request_duration(model, version, surface, code).observe(time.perf_counter() - self._began)
        if self._stages is None:
            return
        queue_s, compute_s, decode_s = self._stages
        queue, compute = metrics.run_durations(model, version, surface)
        queue.observe(queue_s)
        compute.observe(compute_s)
        if decode_s is not None:
            metrics.decode_duration(model, version, surface).observe(decode_s)


Check = Callable[[Call], None]


class Gate:
    """One for the whole process: admits requests, knows how many are in flight, and closes once.

    Args:
        engine: whose models are served.
        checks: called in turn with each request as it comes in; one that raises a `LectoriumError` refuses it.
    """

    def __init__(self, engine: Engine, checks: Sequence[Check] = ()) -> None:
        self._engine = engine
        self._checks = checks
        self._in_flight = dict.fromkeys(SURFACES, 0)
        self._opened = False
        self._closed = False
        self._emptied: asyncio.Event | None = None  # while somebody waits for it
        for surface in SURFACES:
            metrics.watch_in_flight(surface, partial(self._in_flight.__getitem__, surface))

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

    def call(self, surface: str, client: Client, kind: Kind = Kind.INFERENCE, deadline: Deadline | None = None) -> Call:
        """Handle one request: ``with gate.call(surface, client) as call: ...``."""
        return Call(self, surface, client, kind, deadline)

    def check(self, call: Call) -> None:
        """Refuse a request that may not come in.

        Raises:
            Draining: the server is shutting down, and this is no read.
            LectoriumError: one of the checks refuses it.
        """
        if self._closed and call.kind is not _READ:
            raise Draining("the server is shutting down and takes no new requests")
        for check in self._checks:
            check(call)

    def open(self) -> None:
        """Every port listens: be ready."""
        self._opened = True

    def close(self) -> None:
        """Stop being ready, and refuse new requests."""
        self._closed = True

    async def drained(self, grace_s: float) -> None:
        """Wait for the requests in flight, but no longer than ``grace_s`` seconds."""
        self._emptied = asyncio.Event()
        try:
            async with asyncio.timeout(grace_s):
                while self._total:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            log.warning("drain: %d request(s) still in flight after %g s", self._total, grace_s)

    def count(self, surface: str, change: int) -> None:
        """Add to a surface's requests in flight; those whose work goes on without them are in flight, too."""
        self._in_flight[surface] += change
        if self._emptied is not None and not self._total:
            self._emptied.set()

    @property
    def _total(self) -> int:
        return sum(self._in_flight.values())
