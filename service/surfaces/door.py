"""The door: every request of every surface passes here, is counted, measured, and refused while draining."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from service import metrics
from service.engine import Engine, Model
from service.errors import CallerGone, Draining, InternalError, LectoriumError

SURFACES = ("http", "oip_rest", "oip_grpc", "vision_grpc")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Visit:
    """What became known of a request while it was handled; a stage not reached stays None."""

    surface: str
    model: str = ""
    version: str = ""
    decode_s: float | None = None
    queue_s: float | None = None
    compute_s: float | None = None

    def of(self, model: Model) -> None:
        """The request is for this model."""
        self.model, self.version = model.name, model.version

    def timed(self, queue_s: float, compute_s: float, decode_s: float | None = None) -> None:
        """The answer's stages, in seconds."""
        self.queue_s, self.compute_s, self.decode_s = queue_s, compute_s, decode_s


class Door:
    """One for the whole process: knows how many requests are inside, and closes once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inside = dict.fromkeys(SURFACES, 0)
        self._opened = False
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()
        for surface in SURFACES:
            metrics.watch_in_flight(surface, partial(self._inside.__getitem__, surface))

    @property
    def ready(self) -> bool:
        """Whether new requests are taken and can be answered."""
        return self._opened and not self._closed and self._engine.ready

    @property
    def closed(self) -> bool:
        """Whether the server is draining."""
        return self._closed

    @contextmanager
    def visit(self, surface: str) -> Iterator[Visit]:
        """Handle one request inside this block; whatever ends it becomes a metric.

        Raises:
            Draining: the door is closed.
            InternalError: in place of any exception that is no `LectoriumError`; the log has the trace.
        """
        visit = Visit(surface)
        began = time.perf_counter()
        code = "OK"
        self._enter(surface)
        try:
            if self._closed:
                raise Draining("the server is shutting down and takes no new requests")
            yield visit
        except LectoriumError as error:
            code = self._rejected(visit, error)
            raise
        except asyncio.CancelledError:
            code = self._rejected(visit, CallerGone("the caller left"))
            raise
        except Exception as error:
            code = self._rejected(visit, failure := InternalError("internal error; the server's log has it"))
            log.exception("%s request for %r failed", surface, visit.model)
            raise failure from error
        finally:
            self._leave(surface)
            _record(visit, code, time.perf_counter() - began)

    def open(self) -> None:
        """Every port listens: be ready."""
        self._opened = True

    def close(self) -> None:
        """Be not ready, and refuse new requests."""
        self._closed = True

    async def emptied(self, grace_s: float) -> None:
        """Wait for the requests inside, but no longer than ``grace_s``."""
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("drain: %d request(s) still in flight after %g s", sum(self._inside.values()), grace_s)

    def _enter(self, surface: str) -> None:
        self._inside[surface] += 1
        self._empty.clear()

    def _leave(self, surface: str) -> None:
        self._inside[surface] -= 1
        if not any(self._inside.values()):
            self._empty.set()

    def _rejected(self, visit: Visit, error: LectoriumError) -> str:
        metrics.rejections(visit.model, visit.version, visit.surface, error.reason).inc()
        return error.grpc_code


def _record(visit: Visit, code: str, seconds: float) -> None:
    metrics.request_duration(visit.model, visit.version, visit.surface, code).observe(seconds)
    if visit.queue_s is None or visit.compute_s is None:
        return
    labels = (visit.model, visit.version, visit.surface)
    metrics.queue_duration(*labels).observe(visit.queue_s)
    metrics.compute_duration(*labels).observe(visit.compute_s)
    if visit.decode_s is not None:
        metrics.decode_duration(*labels).observe(visit.decode_s)
