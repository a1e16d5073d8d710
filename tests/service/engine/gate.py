"""A real session with a gate before it: what is run is noted, and held in the lane while the gate is closed."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from service.engine import Engine
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors

PATIENCE_S = 10


class Run(NamedTuple):
    """One batch that reached a lane."""

    model: str
    image: Tensor


class Gate:
    """Stands before the sessions of an engine's models."""

    def __init__(self, engine: Engine) -> None:
        self.runs: list[Run] = []
        self._changed = threading.Condition()
        self._open = threading.Event()
        self._open.set()
        for model in engine.repository:
            model.session = _GatedSession(self, model.name, model.session)
            model.inline_rows = 0  # what may be held is not quick: on the loop, it would hold us all

    @property
    def rows(self) -> list[int]:
        """The rows of each batch, in the order they reached a lane."""
        return [len(run.image) for run in self.runs]

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Hold every run that begins in this block until its end."""
        self._open.clear()
        try:
            yield
        finally:
            self.open()

    def open(self) -> None:
        """Let all that is held go on."""
        self._open.set()

    async def reached(self, runs: int) -> None:
        """Wait until so many batches have reached a lane."""
        reached = await asyncio.to_thread(self._wait_for, runs)
        assert reached, f"{len(self.runs)} of {runs} batches reached a lane"

    def passed(self, run: Run) -> None:
        """Called on the lane: note the run, and wait while the gate is closed."""
        with self._changed:
            self.runs.append(run)
            self._changed.notify_all()
        assert self._open.wait(PATIENCE_S), "nobody opened the gate"

    def _wait_for(self, runs: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.runs) >= runs, PATIENCE_S)


class _GatedSession(Session):
    def __init__(self, gate: Gate, model: str, real: Session) -> None:
        self._gate, self._model, self._real = gate, model, real

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        self._gate.passed(Run(self._model, inputs["image"]))
        return self._real.run(outputs, inputs)
