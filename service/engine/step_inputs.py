"""The values of a step graph's inputs that no step before gave: those of a row's first step, draws and schedules."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.engine.binding import Buffer
from service.engine.sampling import Array
from service.engine.sequence_group import Row, SlotRequest
from service.package import Loop
from service.package.sources import Draw, Fill, FromEncoder, FromRequest, Schedule, State, beginning

Buffers = Mapping[str, Buffer]


class StepInputs:
    """Writes them into the slots; ``buffers`` are those of the graph's inputs, by name."""

    def __init__(self, loop: Loop) -> None:
        begins = {name: beginning(source) for name, source in loop.sources.items()}
        self._fills = [(name, begin.value) for name, begin in begins.items() if isinstance(begin, Fill)]
        self._requested = [name for name, begin in begins.items() if isinstance(begin, FromRequest)]
        self._encoded = [(name, begin.output) for name, begin in begins.items() if isinstance(begin, FromEncoder)]
        self._drawn = [
            (name, begin)
            for name, begin in begins.items()
            if isinstance(begin, Draw) and isinstance(loop.sources[name], State)
        ]
        self._draws = [(name, source) for name, source in loop.sources.items() if isinstance(source, Draw)]
        self._schedules = [(name, source) for name, source in loop.sources.items() if isinstance(source, Schedule)]
        self._renewed = [name for name in loop.sources if isinstance(loop.sources[name], Draw | Schedule)]

    def place(self, buffers: Buffers, request: SlotRequest, rows: Sequence[Row], first: int) -> None:
        """Write the first values of a request's ``rows``, which got the slots from ``first`` on."""
        end = first + len(rows)
        for name, value in self._fills:
            buffers[name].rows[first:end] = value
        for name in self._requested:
            buffers[name].rows[first:end] = request.inputs[name]
        for name, output in self._encoded:
            buffers[name].rows[first:end] = request.encoded[output]
        for name, drawn in self._drawn:
            _draw(drawn, rows, buffers[name].rows[first:end])
        for buffer in buffers.values():
            buffer.send(first, end)

    def renew(self, buffers: Buffers, rows: Sequence[Row], taken: Array, allowed: Array) -> None:
        """Write what is new at every step: draws and schedules.

        Args:
            buffers: of the graph's inputs.
            rows: in the first slots.
            taken: how many steps each row has taken.
            allowed: how many steps each row takes at most.
        """
        count = len(rows)
        for name, drawn in self._draws:
            _draw(drawn, rows, buffers[name].rows[:count])
        for name, schedule in self._schedules:
            values = schedule.first + (schedule.last - schedule.first) * ((taken + schedule.offset) / allowed)
            slots = buffers[name].rows[:count]
            slots[...] = (np.rint(values) if slots.dtype.kind in "iu" else values).reshape(slots.shape)
        for name in self._renewed:
            buffers[name].send(0, count)


def _draw(source: Draw, rows: Sequence[Row], slots: Any) -> None:
    """Draw each row's values from its own generator."""
    for place, row in enumerate(rows):
        draw = row.generator.standard_normal if source.distribution == "normal" else row.generator.random
        draw(dtype=slots.dtype.type, out=slots[place : place + 1])
