"""The slots of a step loop: the rows of several requests take their steps together, in adjacent slots.

Only the work item that runs the step loop uses them, on one lane at a time.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from service.engine.beam_group import BeamGroup
from service.engine.binding import Buffer
from service.engine.sampler import Sampler
from service.engine.sequence_group import Row, SequenceGroup, SlotRequest, StepResult
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.engine.work import Run
from service.package import Loop, TensorSpec
from service.package.loop import Chosen, Draw, Fill, FromEncoder, FromRequest, Schedule, Source, State, beginning
from service.package.token_choice import TOKEN


class Slots:
    """Preallocated buffers of ``loop.max_batch`` rows for every tensor of the step graph.

    A state's input buffer and the output buffer that feeds it are swapped after each step, so nothing is copied between
    steps. On a device with memory of its own the states stay there, and only what the host changes or reads is copied.
    When a beam continues from another row, that row's states are copied, on such a device by way of the host.
    """

    def __init__(self, loop: Loop, session: Session) -> None:
        self._loop = loop
        self._session = session
        self._sources = list(loop.sources.items())
        self._renewed = [name for name, source in self._sources if isinstance(source, Draw | Schedule)]
        self._states = {name: source.output for name, source in self._sources if isinstance(source, State)}
        self._fed = [name for name, source in self._sources if isinstance(source, Chosen)]
        self._sampler = Sampler(loop, loop.choice) if loop.choice else None
        self._read = _read(loop)
        self._inputs = {spec.name: self._buffer(spec, spec.name) for spec in loop.step.inputs}
        fed = {output: name for name, output in self._states.items()}
        self._outputs = {spec.name: self._buffer(spec, fed.get(spec.name)) for spec in loop.step.outputs}
        self._answered = tuple(name for name in loop.answer if name not in loop.emit)
        self._rows: list[Row] = []
        self._steps = np.zeros(loop.max_batch, "i8")  # taken by the row in each slot
        self._allowed = np.ones(loop.max_batch, "i8")
        self._bound: dict[tuple[int, int, bool], Callable[[], None]] = {}
        self._swapped = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def waited_for(self) -> int:
        """How many rows have a request that has not gone."""
        return sum(not row.group.request.gone for row in self._rows)

    @property
    def requests(self) -> list[Any]:
        """The requests that have rows in the slots."""
        return list(dict.fromkeys(row.group.request for row in self._rows))

    def place(self, request: SlotRequest) -> None:
        """Put the request's rows into the next free slots, with their first values."""
        group = self._group(request)
        first = len(self._rows)
        for index in range(request.rows):
            slot = len(self._rows)
            row = Row(group, index)
            for name, source in self._sources:
                self._place(self._inputs[name].rows[slot : slot + 1], name, source, row)
            if self._sampler is not None and request.sampling is not None:
                self._sampler.place(slot, request.sampling)
            self._steps[slot], self._allowed[slot] = 0, request.steps
            self._rows.append(row)
        for buffer in self._inputs.values():
            buffer.send(first, len(self._rows))

    def drop(self, requests: Iterable[Any]) -> None:
        """Free the slots of these requests."""
        leaving = set(requests)
        for slot in reversed(range(len(self._rows))):
            if self._rows[slot].group.request in leaving:
                self._free(slot)

    def step(self, *, again: bool = False) -> tuple[Run, list[StepResult]]:
        """Take one step with every row; rows that have ended leave their slots.

        Raises:
            Exception: whatever ONNX Runtime raises. Nothing has changed then: drop the requests that made it fail and
                take the step ``again``, with the random numbers that were already drawn for it.
        """
        began = time.perf_counter()
        count, requests = len(self._rows), len(self.requests)
        if not again:
            self._prepare(count)
        prepared = time.perf_counter()
        self._run(0, count)
        ran = time.perf_counter()
        results = self._collect(count)
        return Run(count, requests, prepared - began, ran - prepared, time.perf_counter() - ran), results

    def failing(self) -> dict[Any, str]:
        """The requests whose rows fail when they step alone, after a step that failed.

        Each has the reason if that is an output with the wrong number of rows; else an empty text.
        """
        found: dict[Any, str] = {}
        for slot, row in enumerate(self._rows):
            try:
                self._run(slot, slot + 1)
            except Exception:  # ONNX Runtime's exception classes have no narrower common base
                found.setdefault(row.group.request, self._wrong_rows(slot))
        return found

    def _wrong_rows(self, slot: int) -> str:
        """What is wrong with the rows of an output; run without bound buffers, so that outputs may have any shape."""
        for buffer in self._inputs.values():
            buffer.fetch(slot, slot + 1)
        row = {name: buffer.rows[slot : slot + 1] for name, buffer in self._inputs.items()}
        try:
            return self._session.wrong_rows(
                dict(zip(self._outputs, self._session.run([*self._outputs], row), strict=True)), 1
            )
        except Exception:  # ONNX Runtime's exception classes have no narrower common base
            return ""

    def _buffer(self, spec: TensorSpec, input_name: str | None) -> Buffer:
        """A buffer where the graph reads that input; one for an output that is read at each step is on the host."""
        on_device = spec.name not in self._read if input_name is None else input_name in self._session.on_device
        return self._session.buffer(spec, self._loop.max_batch, on_device=on_device)

    def _group(self, request: SlotRequest) -> SequenceGroup:
        if self._sampler is not None and request.sampling is not None and request.sampling.strategy == "beam":
            return BeamGroup(request, self._sampler)
        return SequenceGroup(request)

    def _place(self, slot: Tensor, name: str, source: Source, row: Row) -> None:
        initial = beginning(source)
        request = row.group.request
        if isinstance(initial, Fill):
            slot[...] = initial.value
        elif isinstance(initial, FromRequest):
            slot[0] = request.inputs[name][row.index]
        elif isinstance(initial, FromEncoder):
            slot[0] = request.encoded[initial.output][row.index]
        elif isinstance(initial, Draw) and isinstance(source, State):
            _draw(initial, row.generator, slot)

    def _prepare(self, count: int) -> None:
        """Set the inputs that are new at every step: draws and schedules."""
        for name in self._renewed:
            source, rows = self._loop.sources[name], self._inputs[name].rows[:count]
            if isinstance(source, Draw):
                for slot, row in enumerate(self._rows):
                    _draw(source, row.generator, rows[slot : slot + 1])
            elif isinstance(source, Schedule):
                done = (self._steps[:count] + source.offset) / self._allowed[:count]
                values = source.first + (source.last - source.first) * done
                rows[...] = (np.rint(values) if rows.dtype.kind in "iu" else values).reshape(rows.shape)
            self._inputs[name].send(0, count)

    def _run(self, first: int, end: int) -> None:
        key = (first, end, self._swapped)
        if key not in self._bound:
            if len(self._bound) > 2 * self._loop.max_batch:
                self._bound.clear()
            self._bound[key] = self._session.bound(self._inputs, self._outputs, first, end)
        self._bound[key]()

    def _collect(self, count: int) -> list[StepResult]:
        """Collect what each request's rows gave, swap the state buffers, and free the slots of rows that have ended."""
        for name in self._read:
            self._outputs[name].fetch(0, count)
        if self._sampler is not None:
            self._sampler.choose(self._given(self._sampler.output)[:count], self._rows, self._steps[:count])
        self._steps[:count] += 1
        ended = self._steps[:count] >= self._allowed[:count]
        if self._loop.end is not None:
            ended |= self._given(self._loop.end.output)[:count].reshape(count) == self._loop.end.value
        emitted = {name: self._given(name) for name in self._loop.emit}
        groups: dict[SequenceGroup, dict[int, int]] = {}
        for slot, row in enumerate(self._rows):
            groups.setdefault(row.group, {})[row.index] = slot
        results = [one for group, slots in groups.items() for one in group.take(slots, emitted, self._answer, ended)]
        self._swap_states()
        for group, slots in groups.items():
            if group.parents:
                self._follow(group.parents, slots)
        self._feed(count)
        for slot in reversed(ended.nonzero()[0].tolist()):
            self._free(slot)
        return results

    def _given(self, name: str) -> Tensor:
        """What the last step gave every slot, by slot."""
        if self._sampler is not None and name in self._sampler.given:
            return self._sampler.given[name]
        return self._outputs[name].rows

    def _answer(self, slot: int) -> Tensors:
        """A copy of what the row in the slot answers."""
        for name in self._answered:
            if name in self._outputs and name not in self._read:
                self._outputs[name].fetch(slot, slot + 1)
        return {name: np.array(self._given(name)[slot]) for name in self._answered}

    def _follow(self, parents: Sequence[int], slots: Mapping[int, int]) -> None:
        """Copy to each row of a request the states of its parent; ``slots`` gives each row's slot."""
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
        """Give the chosen tokens to the graph's inputs."""
        for name in self._fed:
            rows = self._inputs[name].rows[:count]
            rows[...] = self._given(TOKEN.name)[:count].reshape(rows.shape)
            self._inputs[name].send(0, count)

    def _swap_states(self) -> None:
        for name, output in self._states.items():
            self._inputs[name], self._outputs[output] = self._outputs[output], self._inputs[name]
        self._swapped = not self._swapped

    def _free(self, slot: int) -> None:
        """Remove the row; the last row moves to its slot."""
        last = len(self._rows) - 1
        if slot != last:
            for name, buffer in self._inputs.items():
                if name in self._states:
                    buffer.fetch(last, last + 1)
                buffer.rows[slot] = buffer.rows[last]
                buffer.send(slot, slot + 1)
            if self._sampler is not None:
                self._sampler.move(last, slot)
            self._steps[slot], self._allowed[slot] = self._steps[last], self._allowed[last]
            self._rows[slot] = self._rows[last]
        self._rows.pop()


def _read(loop: Loop) -> tuple[str, ...]:
    """The names of the step graph's outputs that are read at every step."""
    ends, choice = (loop.end.output,) if loop.end else (), (loop.choice.output,) if loop.choice else ()
    outputs = {spec.name for spec in loop.step.outputs}
    return tuple(name for name in dict.fromkeys((*loop.emit, *ends, *choice)) if name in outputs)


def _draw(source: Draw, generator: np.random.Generator, out: Any) -> None:
    draw = generator.standard_normal if source.distribution == "normal" else generator.random
    draw(dtype=out.dtype.type, out=out)
