"""The slots of a loop: rows of several requests, kept dense, that take their steps together.

Everything here belongs to whoever runs the loop's turn, a lane, and to one at a time.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from service.engine.binding import Buffer
from service.engine.chooser import Chooser
from service.engine.searching import Searching
from service.engine.session import Session
from service.engine.tenancy import Row, Stepped, Tenancy, Tenant
from service.engine.tensors import Tensor, Tensors
from service.engine.turns import Run
from service.package import Loop, TensorSpec
from service.package.choice import TOKEN
from service.package.loop import Chosen, Draw, Fill, FromEncoder, FromRequest, Schedule, Source, State, beginning


class Slots:
    """Preallocated buffers of ``loop.max_batch`` rows for every tensor of the step graph.

    A state's input and the output that feeds it trade places after each step, so nothing is copied between steps:
    on a device of its own memory the states stay there, and the host copies only what it has changed or is to read.
    Where a beam goes on from another row, that row's states are copied, on a device by way of the host.
    """

    def __init__(self, loop: Loop, session: Session) -> None:
        self._loop = loop
        self._session = session
        self._sources = list(loop.sources.items())
        self._renewed = [name for name, source in self._sources if isinstance(source, Draw | Schedule)]
        self._states = {name: source.output for name, source in self._sources if isinstance(source, State)}
        self._fed = [name for name, source in self._sources if isinstance(source, Chosen)]
        self._chooser = Chooser(loop, loop.choice) if loop.choice else None
        self._read = _read(loop)
        self._inputs = {spec.name: self._buffer(spec, spec.name) for spec in loop.step.inputs}
        fed = {output: name for name, output in self._states.items()}
        self._outputs = {spec.name: self._buffer(spec, fed.get(spec.name)) for spec in loop.step.outputs}
        self._answered = tuple(name for name in loop.answer if name not in loop.emit)
        self._rows: list[Row] = []
        self._steps = np.zeros(loop.max_batch, "i8")  # taken by the row in each slot
        self._wanted = np.ones(loop.max_batch, "i8")
        self._bound: dict[tuple[int, int, bool], Callable[[], None]] = {}
        self._traded = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def listening(self) -> int:
        """The rows whose request has not gone."""
        return sum(not row.tenancy.tenant.gone for row in self._rows)

    @property
    def tenants(self) -> list[Any]:
        """Whose rows are here."""
        return list(dict.fromkeys(row.tenancy.tenant for row in self._rows))

    def place(self, tenant: Tenant) -> None:
        """Give the request's rows the next free slots, and their first values."""
        tenancy = self._tenancy(tenant)
        first = len(self._rows)
        for index in range(tenant.rows):
            slot = len(self._rows)
            row = Row(tenancy, index)
            for name, source in self._sources:
                self._place(self._inputs[name].rows[slot : slot + 1], name, source, row)
            if self._chooser is not None and tenant.choosing is not None:
                self._chooser.place(slot, tenant.choosing)
            self._steps[slot], self._wanted[slot] = 0, tenant.steps
            self._rows.append(row)
        for buffer in self._inputs.values():
            buffer.send(first, len(self._rows))

    def drop(self, tenants: Iterable[Any]) -> None:
        """Free the slots of these."""
        leaving = set(tenants)
        for slot in reversed(range(len(self._rows))):
            if self._rows[slot].tenancy.tenant in leaving:
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

    def failing(self) -> dict[Any, str]:
        """After a step that failed: the requests whose rows fail by themselves.

        With each, where that is why it fails, which output has other rows than the step.
        """
        found: dict[Any, str] = {}
        for slot, row in enumerate(self._rows):
            try:
                self._run(slot, slot + 1)
            except Exception:  # the library's own exception classes share no narrower base
                found.setdefault(row.tenancy.tenant, self._wrong_rows(slot))
        return found

    def _wrong_rows(self, slot: int) -> str:
        """Run unbound, where an output may have any shape."""
        for buffer in self._inputs.values():
            buffer.fetch(slot, slot + 1)
        row = {name: buffer.rows[slot : slot + 1] for name, buffer in self._inputs.items()}
        try:
            return self._session.wrong_rows(
                dict(zip(self._outputs, self._session.run([*self._outputs], row), strict=True)), 1
            )
        except Exception:  # the library's own exception classes share no narrower base
            return ""

    def _buffer(self, spec: TensorSpec, input_name: str | None) -> Buffer:
        """For that input, where the graph reads it; for an output that is no state, on the host if read each step."""
        on_device = spec.name not in self._read if input_name is None else input_name in self._session.on_device
        return self._session.buffer(spec, self._loop.max_batch, on_device=on_device)

    def _tenancy(self, tenant: Tenant) -> Tenancy:
        if self._chooser is not None and tenant.choosing is not None and tenant.choosing.strategy == "beam":
            return Searching(tenant, self._chooser)
        return Tenancy(tenant)

    def _place(self, slot: Tensor, name: str, source: Source, row: Row) -> None:
        initial = beginning(source)
        tenant = row.tenancy.tenant
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
        for name in self._renewed:
            source, rows = self._loop.sources[name], self._inputs[name].rows[:count]
            if isinstance(source, Draw):
                for slot, row in enumerate(self._rows):
                    _draw(source, row.generator, rows[slot : slot + 1])
            elif isinstance(source, Schedule):
                done = (self._steps[:count] + source.offset) / self._wanted[:count]
                values = source.first + (source.last - source.first) * done
                rows[...] = (np.rint(values) if rows.dtype.kind in "iu" else values).reshape(rows.shape)
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
        if self._chooser is not None:
            self._chooser.choose(self._given(self._chooser.output)[:count], self._rows, self._steps[:count])
        self._steps[:count] += 1
        ended = self._steps[:count] >= self._wanted[:count]
        if self._loop.end is not None:
            ended |= self._given(self._loop.end.output)[:count].reshape(count) == self._loop.end.value
        emitted = {name: self._given(name) for name in self._loop.emit}
        tenancies: dict[Tenancy, dict[int, int]] = {}
        for slot, row in enumerate(self._rows):
            tenancies.setdefault(row.tenancy, {})[row.index] = slot
        stepped = [
            one for tenancy, slots in tenancies.items() for one in tenancy.take(slots, emitted, self._answer, ended)
        ]
        self._trade()
        for tenancy, slots in tenancies.items():
            if tenancy.parents:
                self._follow(tenancy.parents, slots)
        self._feed(count)
        for slot in reversed(ended.nonzero()[0].tolist()):
            self._free(slot)
        return stepped

    def _given(self, name: str) -> Tensor:
        """What the last step gave every slot."""
        if self._chooser is not None and name in self._chooser.given:
            return self._chooser.given[name]
        return self._outputs[name].rows

    def _answer(self, slot: int) -> Tensors:
        """What the row in the slot answers, copied."""
        for name in self._answered:
            if name in self._outputs and name not in self._read:
                self._outputs[name].fetch(slot, slot + 1)
        return {name: np.array(self._given(name)[slot]) for name in self._answered}

    def _follow(self, parents: Sequence[int], slots: Mapping[int, int]) -> None:
        """Let each row of a request, by index in these slots, go on from its parent's states."""
        moves = [(slots[parent], slots[row]) for row, parent in enumerate(parents) if parent != row]
        if not moves:
            return
        sources, targets = ([move[end] for move in moves] for end in (0, 1))
        for buffer in (self._inputs[name] for name in self._states):
            for slot in sources:
                buffer.fetch(slot, slot + 1)
            buffer.rows[targets] = buffer.rows[sources]
            for slot in targets:
                buffer.send(slot, slot + 1)

    def _feed(self, count: int) -> None:
        """Give the graph the tokens that were chosen."""
        for name in self._fed:
            rows = self._inputs[name].rows[:count]
            rows[...] = self._given(TOKEN.name)[:count].reshape(rows.shape)
            self._inputs[name].send(0, count)

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
            if self._chooser is not None:
                self._chooser.move(last, slot)
            self._steps[slot], self._wanted[slot] = self._steps[last], self._wanted[last]
            self._rows[slot] = self._rows[last]
        self._rows.pop()


def _read(loop: Loop) -> tuple[str, ...]:
    """The step graph's outputs that are read at every step."""
    ends, choice = (loop.end.output,) if loop.end else (), (loop.choice.output,) if loop.choice else ()
    outputs = {spec.name for spec in loop.step.outputs}
    return tuple(name for name in dict.fromkeys((*loop.emit, *ends, *choice)) if name in outputs)


def _draw(source: Draw, generator: np.random.Generator, out: Any) -> None:
    draw = generator.standard_normal if source.distribution == "normal" else generator.random
    draw(dtype=out.dtype.type, out=out)
