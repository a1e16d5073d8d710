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
    """One row of a request; row ``index`` of its seed draws the same numbers wherever it is."""

    tenancy: "Tenancy"
    index: int
    generator: np.random.Generator


# What the row of a slot answers, by name.
Answers = Callable[[int], Tensors]


class Tenancy:
    """A request whose every step is emitted; a row that has ended repeats its last values.

    ``parents`` says from which row's state each row goes on; nothing where each goes on from its own.
    """

    parents: Sequence[int] = ()

    def __init__(self, tenant: Tenant, emitted: dict[str, Tensor], answers: dict[str, Tensor]) -> None:
        self.tenant = tenant
        self._emitted = emitted
        self._answers = answers
        self._stepping = tenant.rows
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
        self._emitted = {name: _now(before, slots, emitted[name]) for name, before in self._emitted.items()}
        for index, slot in slots.items():
            if ended[slot]:
                self._stepping -= 1
                for name, value in answers(slot).items():
                    self._answers[name][index] = value
        last = not self._stepping
        if not last and not self._emitted:
            return []
        return [Stepped(self.tenant, self._step, self._emitted | (self._answers if last else {}), last)]


def _now(before: Tensor, slots: Mapping[int, int], emitted: Tensor) -> Tensor:
    """The values of all rows: new of those that step, a copy of the rest."""
    if len(before) == 1:
        [slot] = slots.values()
        return emitted[slot : slot + 1].copy()
    now = before.copy()
    now[list(slots)] = emitted[list(slots.values())]
    return now
