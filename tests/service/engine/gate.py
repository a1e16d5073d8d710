"""A real session with a gate before it: what is run is noted, and held in the lane while the gate is closed."""

import asyncio
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from service.engine import Engine
from service.engine.session import Session
from service.engine.slots import Slots
from service.engine.tensors import Tensor, Tensors

PATIENCE_S = 10


class Run(NamedTuple):
    """One run that reached a lane; ``input`` is the first of its inputs, for a step how many each row has taken.

    ``model`` is its name, with the part's behind a dot where one runs; ``outputs`` are those it fetches.
    """

    model: str
    input: Tensor
    outputs: Sequence[str] = ()


class Gate:
    """Stands before the sessions of an engine's models, or of those named."""

    def __init__(self, engine: Engine, *models: str) -> None:
        self.runs: list[Run] = []
        self._changed = threading.Condition()
        self._may_pass = math.inf
        for model in [model for model in engine.repository if not models or model.name in models]:
            once, steps, parts = engine._queues.of(model)
            if once is not None:
                model.session = once.session = _GatedSession(self, model.name, once.session)
            if steps is not None:
                self._guard(model.name, steps.slots)
            for name, part in parts.items():
                part.session = _GatedSession(self, f"{model.name}.{name}", part.session)

    @property
    def rows(self) -> list[int]:
        """The rows of each run, in the order they reached a lane."""
        return [len(run.input) for run in self.runs]

    @property
    def models(self) -> list[str]:
        """The model of each run, in the order they reached a lane."""
        return [run.model for run in self.runs]

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Hold every run that begins in this block until its end."""
        self._let(0)
        try:
            yield
        finally:
            self.open()

    def open(self) -> None:
        """Let all that is held go on."""
        self._let(math.inf)

    async def let(self, runs: int = 1) -> None:
        """Let so many runs pass the closed gate, and wait until the next one stands before it."""
        target = len(self.runs) + runs
        self._let(runs)
        await self.reached(target)

    async def reached(self, runs: int) -> None:
        """Wait until so many runs have reached a lane."""
        reached = await asyncio.to_thread(self._wait_for, runs)
        assert reached, f"{len(self.runs)} of {runs} runs reached a lane"

    def passed(self, run: Run) -> None:
        """Called on the lane: note the run, and wait while the gate is closed."""
        with self._changed:
            self.runs.append(run)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._may_pass > 0, PATIENCE_S), "nobody opened the gate"
            self._may_pass -= 1

    def _guard(self, model: str, slots: Slots) -> None:
        run = slots._run

        def gated(first: int, end: int) -> None:
            self.passed(Run(model, slots._steps[first:end].copy()))
            run(first, end)

        slots._run = gated  # type: ignore[method-assign]

    def _let(self, runs: float) -> None:
        with self._changed:
            self._may_pass = runs
            self._changed.notify_all()

    def _wait_for(self, runs: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.runs) >= runs, PATIENCE_S)


class _GatedSession(Session):
    def __init__(self, gate: Gate, model: str, real: Session) -> None:
        self._gate, self._model, self._real = gate, model, real
        self.graph = real.graph
        self.inline_rows = 0  # what may be held is not quick: on the loop, it would hold us all

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        self._gate.passed(Run(self._model, next(iter(inputs.values())), tuple(outputs)))
        return self._real.run(outputs, inputs)
