"""The slots of a loop: rows of several requests, kept dense, that take their steps together.

Everything here belongs to whoever runs the loop's turn, a lane, and to one at a time.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from service.engine.binding import Buffer
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.engine.turns import Run
from service.package import Loop, TensorSpec
from service.package.loop import Draw, Fill, FromEncoder, FromRequest, Schedule, State


class Tenant(Protocol):
    """Whose rows are in the slots: what the steps need to know of a request."""

    inputs: Tensors
    encoded: Tensors
    rows: int
    steps: int
    seed: int

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the rows any more."""


class Stepped(NamedTuple):
    """What one step gave one request: ``outputs`` of all its rows; ``last`` where it was its last step."""

    tenant: Any
    step: int
    outputs: dict[str, Tensor]
    last: bool


@dataclass(slots=True, eq=False)
class _Row:
    """One row of a request; row ``index`` of its seed draws the same numbers wherever it is."""

    stay: "_Stay"
    index: int
    generator: np.random.Generator


@dataclass(slots=True, eq=False)
class _Stay:
    """A request's time in the slots: what its rows emitted last and answered so far, and how many still step."""

    tenant: Tenant
    emitted: dict[str, Tensor]
    answers: dict[str, Tensor]
    stepping: int
    step: int = 0


class Slots:
    """Preallocated buffers of ``loop.max_batch`` rows for every tensor of the step graph.

    A state's input and the output that feeds it trade places after each step, so nothing is copied between steps:
    on a device of its own memory the states stay there, and the host copies only what it has changed or is to read.
    """

    def __init__(self, loop: Loop, session: Session) -> None:
        self._loop = loop
        self._session = session
        self._sources = list(loop.sources.items())
        self._states = {name: source.output for name, source in self._sources if isinstance(source, State)}
        self._read = tuple(dict.fromkeys((*loop.emit, *((loop.end.output,) if loop.end else ()))))  # at every step
        self._inputs = {spec.name: self._buffer(spec, spec.name) for spec in loop.step.inputs}
        fed = {output: name for name, output in self._states.items()}
        self._outputs = {spec.name: self._buffer(spec, fed.get(spec.name)) for spec in loop.step.outputs}
        self._answered = tuple(name for name in loop.answer if name not in loop.emit)
        self._rows: list[_Row] = []
        self._steps = np.zeros(loop.max_batch, "i8")  # taken by the row in each slot
        self._wanted = np.ones(loop.max_batch, "i8")
        self._bound: dict[tuple[int, int, bool], Callable[[], None]] = {}
        self._traded = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def listening(self) -> int:
        """The rows whose request has not gone."""
        return sum(not row.stay.tenant.gone for row in self._rows)

    @property
    def tenants(self) -> list[Any]:
        """Whose rows are here."""
        return list(dict.fromkeys(row.stay.tenant for row in self._rows))

    def place(self, tenant: Tenant) -> None:
        """Give the request's rows the next free slots, and their first values."""
        emitted, answers = (
            {name: np.zeros_like(self._outputs[name].rows[: tenant.rows]) for name in names}
            for names in (self._loop.emit, self._answered)
        )
        stay = _Stay(tenant, emitted, answers, tenant.rows)
        first = len(self._rows)
        for index in range(tenant.rows):
            slot = len(self._rows)
            row = _Row(stay, index, np.random.Generator(np.random.Philox(key=[tenant.seed, index])))
            for name, source in self._sources:
                self._place(self._inputs[name].rows[slot : slot + 1], name, source, row)
            self._steps[slot], self._wanted[slot] = 0, tenant.steps
            self._rows.append(row)
        for buffer in self._inputs.values():
            buffer.send(first, len(self._rows))

    def drop(self, tenants: Iterable[Any]) -> None:
        """Free the slots of these."""
        leaving = set(tenants)
        for slot in reversed(range(len(self._rows))):
            if self._rows[slot].stay.tenant in leaving:
                self._free(slot)

    def step(self, *, again: bool = False) -> tuple[Run, list[Stepped]]:
        """One step for every row; rows that have ended leave their slots.

        Raises:
            Exception: whatever the library raises. All is then as it was, and, once those that made it fail are
                dropped, the step may be taken ``again``, with the random numbers that were drawn for it.
        """
        began = time.perf_counter()
        count, tenants = len(self._rows), len(self.tenants)
        if not again:
            self._prepare(count)
        prepared = time.perf_counter()
        self._run(0, count)
        ran = time.perf_counter()
        stepped = self._collect(count)
        return Run(count, tenants, prepared - began, ran - prepared, time.perf_counter() - ran), stepped

    def failing(self) -> list[Any]:
        """After a step that failed: the requests whose rows fail by themselves."""
        found = []
        for slot, row in enumerate(self._rows):
            try:
                self._run(slot, slot + 1)
            except Exception:  # the library's own exception classes share no narrower base
                found.append(row.stay.tenant)
        return list(dict.fromkeys(found))

    def _buffer(self, spec: TensorSpec, input_name: str | None) -> Buffer:
        """For that input, where the graph reads it; for an output that is no state, on the host if read each step."""
        on_device = spec.name not in self._read if input_name is None else input_name in self._session.on_device
        return self._session.buffer(spec, self._loop.max_batch, on_device=on_device)

    def _place(self, slot: Tensor, name: str, source: object, row: _Row) -> None:
        initial = source.initial if isinstance(source, State) else source
        tenant = row.stay.tenant
        if isinstance(initial, Fill):
            slot[...] = initial.value
        elif isinstance(initial, FromRequest):
            slot[0] = tenant.inputs[name][row.index]
        elif isinstance(initial, FromEncoder):
            slot[0] = tenant.encoded[initial.output][row.index]
        elif isinstance(initial, Draw) and isinstance(source, State):
            _draw(initial, row.generator, slot)

    def _prepare(self, count: int) -> None:
        """The inputs that are new at every step."""
        for name, source in self._sources:
            rows = self._inputs[name].rows[:count]
            if isinstance(source, Draw):
                for slot, row in enumerate(self._rows):
                    _draw(source, row.generator, rows[slot : slot + 1])
            elif isinstance(source, Schedule):
                done = (self._steps[:count] + source.offset) / self._wanted[:count]
                values = source.first + (source.last - source.first) * done
                rows[...] = (np.rint(values) if rows.dtype.kind in "iu" else values).reshape(rows.shape)
            if isinstance(source, Draw | Schedule):
                self._inputs[name].send(0, count)

    def _run(self, first: int, end: int) -> None:
        key = (first, end, self._traded)
        if key not in self._bound:
            if len(self._bound) > 2 * self._loop.max_batch:
                self._bound.clear()
            self._bound[key] = self._session.bound(self._inputs, self._outputs, first, end)
        self._bound[key]()

    def _collect(self, count: int) -> list[Stepped]:
        """Hand each request what its rows gave, trade the states, and free the slots of rows that have ended."""
        for name in self._read:
            self._outputs[name].fetch(0, count)
        self._steps[:count] += 1
        ended = self._steps[:count] >= self._wanted[:count]
        if self._loop.end is not None:
            ended |= self._outputs[self._loop.end.output].rows[:count].reshape(count) == self._loop.end.value
        stays = dict.fromkeys(row.stay for row in self._rows)
        for stay in stays:
            stay.step += 1
            stay.emitted = {name: values.copy() for name, values in stay.emitted.items()}
        for slot, row in enumerate(self._rows):
            row.stay.stepping -= int(ended[slot])
            if ended[slot]:
                self._answer(slot, row)
            for name, values in row.stay.emitted.items():
                values[row.index] = self._outputs[name].rows[slot]
        self._trade()
        for slot in reversed(np.flatnonzero(ended)):
            self._free(int(slot))
        return [self._stepped(stay) for stay in stays if self._loop.emit or not stay.stepping]

    def _answer(self, slot: int, row: _Row) -> None:
        for name, values in row.stay.answers.items():
            if name not in self._read:
                self._outputs[name].fetch(slot, slot + 1)
            values[row.index] = self._outputs[name].rows[slot]

    def _stepped(self, stay: _Stay) -> Stepped:
        last = not stay.stepping
        return Stepped(stay.tenant, stay.step, stay.emitted | (stay.answers if last else {}), last)

    def _trade(self) -> None:
        for name, output in self._states.items():
            self._inputs[name], self._outputs[output] = self._outputs[output], self._inputs[name]
        self._traded = not self._traded

    def _free(self, slot: int) -> None:
        """Take the row out; the last one moves to its slot."""
        last = len(self._rows) - 1
        if slot != last:
            for name, buffer in self._inputs.items():
                if name in self._states:
                    buffer.fetch(last, last + 1)
                buffer.rows[slot] = buffer.rows[last]
                buffer.send(slot, slot + 1)
            self._steps[slot], self._wanted[slot] = self._steps[last], self._wanted[last]
            self._rows[slot] = self._rows[last]
        self._rows.pop()


def _draw(source: Draw, generator: np.random.Generator, out: Any) -> None:
    draw = generator.standard_normal if source.distribution == "normal" else generator.random
    draw(dtype=out.dtype.type, out=out)
