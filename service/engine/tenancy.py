"""A request's time in the slots: which of its rows still step, and what they give it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from service.engine.decoding import Choosing
from service.engine.sampling import Array
from service.engine.tensors import Tensor, Tensors


class Tenant(Protocol):
    """Whose rows are in the slots: what the steps need to know of a request.

    ``choosing`` is how its tokens are chosen, None where the loop leaves no choice.
    """

    inputs: Tensors
    encoded: Tensors
    rows: int
    steps: int
    seed: int
    choosing: Choosing | None

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
class Row:
    """One row of a request."""

    tenancy: "Tenancy"
    index: int
    _generator: np.random.Generator | None = None

    @property
    def generator(self) -> np.random.Generator:
        """Row ``index`` of the request's seed draws the same numbers wherever it is."""
        if self._generator is None:  # one takes a while to make, and most rows never draw
            self._generator = np.random.Generator(np.random.Philox(key=[self.tenancy.tenant.seed, self.index]))
        return self._generator


# What the row of a slot answers, by name.
Answers = Callable[[int], Tensors]


class Tenancy:
    """A request whose every step is emitted; a row that has ended repeats its last values.

    ``parents`` says from which row's state each row goes on; nothing where each goes on from its own.
    """

    parents: Sequence[int] = ()

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._emitted: dict[str, Tensor] = {}
        self._answers: dict[str, Tensor] = {}
        self._stepping = tenant.rows
        self._alone = tenant.rows == 1
        self._step = 0

    def take(self, slots: Mapping[int, int], emitted: Tensors, answers: Answers, ended: Array) -> list[Stepped]:
        """What a step gives the request.

        Args:
            slots: where each of its rows is that still step, by index.
            emitted: what the step gave every slot.
            answers: gives what the row in a slot answers.
            ended: whether the row in each slot has ended.
        """
        self._step += 1
        self._emitted = self._now(slots, emitted)
        for index, slot in slots.items():
            if ended[slot]:
                self._stepping -= 1
                self._remember(index, answers(slot))
        last = not self._stepping
        if not last and not self._emitted:
            return []
        return [Stepped(self.tenant, self._step, self._emitted | self._answers if last else self._emitted, last)]

    def _now(self, slots: Mapping[int, int], emitted: Tensors) -> dict[str, Tensor]:
        """The values of all rows: new of those that step, a copy of the rest. At first, all step."""
        now: dict[str, Tensor] = {}
        if self._alone:
            [slot] = slots.values()
            for name, values in emitted.items():
                now[name] = values[slot : slot + 1].copy()
            return now
        for name, values in emitted.items():
            before = self._emitted.get(name)
            now[name] = np.empty((len(slots), *values.shape[1:]), values.dtype) if before is None else before.copy()
            now[name][list(slots)] = values[list(slots.values())]
        return now

    def _remember(self, index: int, answers: Tensors) -> None:
        """What a row that has ended answers."""
        for name, value in answers.items():
            if name not in self._answers:
                self._answers[name] = np.zeros((self.tenant.rows, *value.shape), value.dtype)
            self._answers[name][index] = value
