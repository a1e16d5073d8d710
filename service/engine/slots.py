"""The slots of a step loop: the rows of several requests take their steps together, in adjacent slots.

Only the work item that runs the step loop uses them, on one lane at a time.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from service.engine.beam_group import BeamGroup
from service.engine.binding import Buffer
from service.engine.sampler import Sampler
from service.engine.sampling import Array
from service.engine.sequence_group import Given, Row, SequenceGroup, SlotRequest, StepResult
from service.engine.session import Session
from service.engine.step_inputs import StepInputs
from service.engine.step_results import read_outputs, results_of, watched_outputs
from service.engine.tensors import Tensor, Tensors
from service.engine.work import Run
from service.package import Loop, TensorSpec
from service.package.sources import Chosen, State
from service.package.token_choice import TOKEN

# More steps than any request has: a row with this stride gives nothing before its end.
_NEVER = 1 << 62


class Slots:
    """Preallocated buffers of ``loop.max_batch`` rows for every tensor of the step graph.

    A state's input buffer and the output buffer that feeds it are swapped after each step, so nothing is copied between
    steps. On a device with memory of its own the states stay there, and only what the host changes or reads is copied.
    When a beam continues from another row, that row's states are copied, on such a device by way of the host.
    """

    def __init__(self, loop: Loop, session: Session) -> None:
        self._loop = loop
        self._session = session
        self._sources = StepInputs(loop)
        self._states = {name: source.output for name, source in loop.sources.items() if isinstance(source, State)}
        self._fed = [name for name, source in loop.sources.items() if isinstance(source, Chosen)]
        self._sampler = Sampler(loop, loop.choice) if loop.choice else None
        self._watched, self._read = watched_outputs(loop), read_outputs(loop)
        self._inputs = {spec.name: self._buffer(spec, spec.name) for spec in loop.step.inputs}
        fed = {output: name for name, output in self._states.items()}
        self._outputs = {spec.name: self._buffer(spec, fed.get(spec.name)) for spec in loop.step.outputs}
        self._answered = tuple(name for name in loop.answer if name not in loop.emit)
        self._rows: list[Row] = []
        self._groups: dict[SequenceGroup, None] = {}
        self._steps = np.zeros(loop.max_batch, "i8")  # taken by the row in each slot
        self._allowed = np.ones(loop.max_batch, "i8")
        self._every = np.ones(loop.max_batch, "i8")
        self._by_slot = (self._steps, self._allowed, self._every)
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
        return [group.request for group in self._groups]

    def place(self, request: SlotRequest) -> None:
        """Put the request's rows into the next free slots, with their first values."""
        group = self._group(request)
        first = len(self._rows)
        rows = [Row(group, index) for index in range(request.rows)]
        end = first + len(rows)
        self._sources.place(self._inputs, request, rows, first)
        group.slots = dict(enumerate(range(first, end)))
        if self._sampler is not None and request.sampling is not None:
            for slot in range(first, end):
                self._sampler.place(slot, request.sampling)
        self._steps[first:end], self._allowed[first:end] = 0, request.steps
        self._every[first:end] = group.every if self._loop.emit or isinstance(group, BeamGroup) else _NEVER
        self._rows += rows
        self._groups[group] = None

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
        count, requests = len(self._rows), len(self._groups)
        if not again:
            self._sources.renew(self._inputs, self._rows, self._steps[:count], self._allowed[:count])
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
        on_device = spec.name not in self._watched if input_name is None else input_name in self._session.on_device
        return self._session.buffer(spec, self._loop.max_batch, on_device=on_device)

    def _group(self, request: SlotRequest) -> SequenceGroup:
        if self._sampler is not None and request.sampling is not None and request.sampling.strategy == "beam":
            return BeamGroup(request, self._sampler)
        return SequenceGroup(request)

    def _run(self, first: int, end: int) -> None:
        key = (first, end, self._swapped)
        if key not in self._bound:
            if len(self._bound) > 2 * self._loop.max_batch:
                self._bound.clear()
            self._bound[key] = self._session.bound(self._inputs, self._outputs, first, end)
        self._bound[key]()

    def _collect(self, count: int) -> list[StepResult]:
        """Collect what each request's rows gave, swap the state buffers, and free the slots of rows that have ended."""
        for name in self._watched:
            self._outputs[name].fetch(0, count)
        steps = self._steps[:count]
        if self._sampler is not None:
            self._sampler.choose(self._outputs[self._sampler.output].rows[:count], self._rows, steps)
        steps += 1
        ended = steps >= self._allowed[:count]
        if self._loop.end is not None:
            ended |= self._given(self._loop.end.output)[:count].reshape(count) == self._loop.end.value
        results, searches = self._give(count, steps, ended)
        self._swap_states()
        if searches:
            self._follow(searches, ended)
        for name in self._fed:
            rows = self._inputs[name].rows[:count]
            rows[...] = self._given(TOKEN.name)[:count].reshape(rows.shape)
            self._inputs[name].send(0, count)
        for slot in reversed(ended.nonzero()[0].tolist()):
            self._free(slot)
        return results

    def _give(self, count: int, steps: Array, ended: Array) -> tuple[list[StepResult], list[BeamGroup]]:
        """What the step gave the requests whose rows emit or end at it, and those that beam search answers."""
        due = ended | (steps % self._every[:count] == 0)
        slots: list[int] = due.nonzero()[0].tolist()
        if not slots:
            return [], []
        for name in self._read:
            if name not in self._watched:
                self._outputs[name].fetch(0, count)
        whole = len(slots) == count
        values = {
            name: self._given(name)[:count].copy() if whole else self._given(name)[slots] for name in self._loop.emit
        }
        places = range(count) if whole else {slot: place for place, slot in enumerate(slots)}
        given = Given(values, places, ended.tolist(), self._answer)
        return results_of(self._rows, slots, steps[slots].tolist(), given)

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

    def _follow(self, searches: Sequence[BeamGroup], ended: Array) -> None:
        """Let each row of a beam search continue with its parent's states and its new token, if the search goes on."""
        assert self._sampler is not None  # a loop with a choice
        sources, targets = list[int](), list[int]()
        for group in searches:
            slots = [group.slots[row] for row in range(len(group.slots))]
            ended[slots] = group.over
            if group.over:
                continue
            self._sampler.replace_tokens(slots, group.tokens)
            for slot, parent in zip(slots, group.parents, strict=True):
                if slots[parent] != slot:
                    sources.append(slots[parent])
                    targets.append(slot)
        if not sources:
            return
        for buffer in (self._inputs[name] for name in self._states):
            for slot in sources:
                buffer.fetch(slot, slot + 1)
            buffer.rows[targets] = buffer.rows[sources]
            for slot in targets:
                buffer.send(slot, slot + 1)

    def _swap_states(self) -> None:
        for name, output in self._states.items():
            self._inputs[name], self._outputs[output] = self._outputs[output], self._inputs[name]
        self._swapped = not self._swapped

    def _free(self, slot: int) -> None:
        """Remove the row; the last row moves to its slot."""
        row, mover = self._rows[slot], self._rows.pop()
        del row.group.slots[row.index]
        if not row.group.slots:
            del self._groups[row.group]
        if mover is row:
            return
        last = len(self._rows)
        for name, buffer in self._inputs.items():
            if name in self._states:
                buffer.fetch(last, last + 1)
            buffer.rows[slot] = buffer.rows[last]
            buffer.send(slot, slot + 1)
        if self._sampler is not None:
            self._sampler.move(last, slot)
        for values in self._by_slot:
            values[slot] = values[last]
        self._rows[slot] = mover
        mover.group.slots[mover.index] = slot
