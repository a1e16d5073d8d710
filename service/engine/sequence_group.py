"""A request in the slots of a step loop: the rows that still take steps, and what each step gives the request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from service.engine.sampling_parameters import SamplingParameters
from service.engine.tensors import Tensor, Tensors

NO_TENSORS: Tensors = {}


class SlotRequest(Protocol):
    """What the slots need to know of a request.

    Attributes:
        inputs: the request's own tensors, (rows, ...) each.
        encoded: the encoder's outputs, (rows, ...) each; empty if the loop has no encoder.
        rows: how many rows it has.
        steps: how many steps each row takes at most.
        every: how many steps there are from one emission to the next; its last step emits, whatever its number.
        seed: what its random numbers come from.
        sampling: how its tokens are chosen; None if the loop has no choice of tokens.
    """

    inputs: Tensors
    encoded: Tensors
    rows: int
    steps: int
    every: int
    seed: int
    sampling: SamplingParameters | None

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the rows any more."""


class StepResult(NamedTuple):
    """What one step gave one request.

    Attributes:
        request: whose result it is.
        step: the number of the step, from 1.
        values: by name, what was emitted, (rows, ...); with a ``place``, what all requests of the step emitted.
        last: whether it was the request's last step.
        place: the number of the request's only row in ``values``; None if these are its own.
        answers: by name, what the request answers, (rows, ...); empty before the last step.
    """

    request: Any
    step: int
    values: Tensors
    last: bool
    place: int | None = None
    answers: Tensors = NO_TENSORS

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What the request gets, (rows, ...) by name; they may be views of what other requests get, too."""
        if self.place is None:
            return {**self.values, **self.answers}
        row = slice(self.place, self.place + 1)
        return {**{name: tensor[row] for name, tensor in self.values.items()}, **self.answers}


@dataclass(slots=True, eq=False)
class Row:
    """One row of a request."""

    group: "SequenceGroup"
    index: int
    _generator: np.random.Generator | None = None

    @property
    def generator(self) -> np.random.Generator:
        """The random numbers of this row: they depend on the request's seed and the row's index, on nothing else."""
        if self._generator is None:  # making one takes a while, and most rows never draw
            self._generator = np.random.Generator(np.random.Philox(key=[self.group.request.seed, self.index]))
        return self._generator


class Given(NamedTuple):
    """What a step gave the rows that emit or end at it.

    Attributes:
        values: by name, one copy for all of these rows.
        places: by slot, the number of its row in ``values``.
        ended: by slot, whether its row has ended.
        answers: gives what the row in a slot answers, by name.
    """

    values: Tensors
    places: Mapping[int, int] | Sequence[int]
    ended: Sequence[bool]
    answers: Callable[[int], Tensors]


class SequenceGroup:
    """The rows of one request. Every step of its stride is emitted; a row that has ended repeats its last values.

    Attributes:
        slots: by row index, the slot of each row that still steps.
        alone: whether it is one row that takes its own tokens: then a step's result needs no `take`.
        every: how many steps there are from one emission to the next.
        parents: for each row, the row whose state it continues from; empty if each row continues from its own.
    """

    parents: Sequence[int] = ()

    def __init__(self, request: SlotRequest) -> None:
        self.request = request
        self.slots: dict[int, int] = {}
        self.alone = request.rows == 1
        self.every = request.every
        self._last: dict[str, Tensor] = {}
        self._answers: dict[str, Tensor] = {}

    def take(self, step: int, given: Given) -> list[StepResult]:
        """Collect what a step gave the rows; nothing if it only ended some of them between two emissions."""
        for name, values in given.values.items():
            if name not in self._last:  # in the first step, no row has ended
                self._last[name] = np.zeros((self.request.rows, *values.shape[1:]), values.dtype)
        slots = {index: slot for index, slot in self.slots.items() if slot in given.places}
        places = [given.places[slot] for slot in slots.values()]
        for name, values in given.values.items():
            self._last[name][list(slots)] = values[places]
        ended = [index for index, slot in slots.items() if given.ended[slot]]
        for index in ended:
            self._keep_answer(index, given.answers(slots[index]))
        last = len(ended) == len(self.slots)
        if not last and (step % self.every or not self._last):
            return []
        outputs = {name: values.copy() for name, values in self._last.items()}
        return [StepResult(self.request, step, outputs, last, None, self._answers if last else NO_TENSORS)]

    def _keep_answer(self, index: int, answers: Tensors) -> None:
        for name, value in answers.items():
            if name not in self._answers:
                self._answers[name] = np.zeros((self.request.rows, *value.shape), value.dtype)
            self._answers[name][index] = value
