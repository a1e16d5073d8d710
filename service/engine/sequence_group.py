"""A request in the slots of a step loop: the rows that still take steps, and what each step gives the request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from service.engine.sampling import Array
from service.engine.sampling_parameters import SamplingParameters
from service.engine.tensors import Tensor, Tensors


class SlotRequest(Protocol):
    """What the slots need to know of a request.

    Attributes:
        inputs: the request's own tensors, (rows, ...) each.
        encoded: the encoder's outputs, (rows, ...) each; empty if the loop has no encoder.
        rows: how many rows it has.
        steps: how many steps each row takes at most.
        seed: what its random numbers come from.
        sampling: how its tokens are chosen; None if the loop has no choice of tokens.
    """

    inputs: Tensors
    encoded: Tensors
    rows: int
    steps: int
    seed: int
    sampling: SamplingParameters | None

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the rows any more."""


class StepResult(NamedTuple):
    """What one step gave one request: ``outputs`` (rows, ...) by name; ``last`` if it was the request's last step."""

    request: Any
    step: int
    outputs: dict[str, Tensor]
    last: bool


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


# Gives what the row in a slot answers, by name.
Answers = Callable[[int], Tensors]


class SequenceGroup:
    """The rows of one request. Every step is emitted; a row that has ended repeats its last values.

    Attributes:
        parents: for each row, the row whose state it continues from; empty if each row continues from its own.
    """

    parents: Sequence[int] = ()

    def __init__(self, request: SlotRequest) -> None:
        self.request = request
        self._emitted: dict[str, Tensor] = {}
        self._answers: dict[str, Tensor] = {}
        self._stepping = request.rows
        self._one_row = request.rows == 1
        self._step = 0

    def take(self, slots: Mapping[int, int], emitted: Tensors, answers: Answers, ended: Array) -> list[StepResult]:
        """Collect what a step gave the request.

        Args:
            slots: by row index, the slot of each row that still steps.
            emitted: by name, what the step gave every slot.
            answers: gives what the row in a slot answers.
            ended: whether the row in each slot has ended.

        Returns:
            the result of the step; nothing if it is not the last and the loop emits nothing on its way.
        """
        self._step += 1
        self._emitted = self._current(slots, emitted)
        for index, slot in slots.items():
            if ended[slot]:
                self._stepping -= 1
                self._keep_answer(index, answers(slot))
        last = not self._stepping
        if not last and not self._emitted:
            return []
        return [StepResult(self.request, self._step, self._emitted | self._answers if last else self._emitted, last)]

    def _current(self, slots: Mapping[int, int], emitted: Tensors) -> dict[str, Tensor]:
        """The values of all rows: new ones for rows that step, copies for the rest. In the first step, all rows do."""
        current: dict[str, Tensor] = {}
        if self._one_row:
            [slot] = slots.values()
            for name, values in emitted.items():
                current[name] = values[slot : slot + 1].copy()
            return current
        for name, values in emitted.items():
            before = self._emitted.get(name)
            current[name] = np.empty((len(slots), *values.shape[1:]), values.dtype) if before is None else before.copy()
            current[name][list(slots)] = values[list(slots.values())]
        return current

    def _keep_answer(self, index: int, answers: Tensors) -> None:
        for name, value in answers.items():
            if name not in self._answers:
                self._answers[name] = np.zeros((self.request.rows, *value.shape), value.dtype)
            self._answers[name][index] = value
