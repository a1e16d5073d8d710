"""Recurrent layers: stacked cells over a sequence (I2DL XI.2)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from models.layers.cell import Cell, State, build_cell

States = dict[str, Tensor]


class Recurrence(nn.Module):
    """``layers`` of the cell called ``cell``; the hidden states of one are the inputs of the next.

    The states are called ``h1`` and, if the cell has a second one, ``c1``; then ``h2`` and so on, (B, hidden) each.
    ``dropout`` is applied between two layers.

    Raises:
        KeyError: there is no such cell.
    """

    def __init__(self, cell: str, inputs: int, hidden: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [inputs] + [hidden] * (layers - 1)
        self.hidden = hidden
        self.cells = nn.ModuleList(build_cell(cell, size, hidden) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return tuple(name for _, names in self._layers() for name in names)

    def zeros(self, x: Tensor) -> States:
        """The states before the first step, for each row of ``x``."""
        return {name: x.new_zeros(x.shape[0], self.hidden) for name in self.states}

    def step(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """The last layer's h (B, hidden), and all states, after the inputs ``x`` (B, inputs)."""
        after: States = {}
        for number, (cell, names) in enumerate(self._layers()):
            x = self.dropout(x) if number else x
            found = cell(cell.project(x), tuple(states[name] for name in names))
            after.update(zip(names, found, strict=True))
            x = found[0]
        return x, after

    def forward(self, x: Tensor, states: States, real: Tensor | None = None) -> tuple[Tensor, States]:
        """The last layer's h (B, T, hidden) after each of the inputs ``x`` (B, T, inputs), and the states at the end.

        Where ``real`` (B, T) is False, there is no input and the row's state stays unchanged.
        """
        after: States = {}
        for number, (cell, names) in enumerate(self._layers()):
            x = self.dropout(x) if number else x
            state: State = tuple(states[name] for name in names)
            outputs = []
            for t, projected in enumerate(cell.project(x).unbind(1)):  # (B, T, G) -> T times (B, G)
                found = cell(projected, state)
                state = found if real is None else _where(real[:, t : t + 1], found, state)
                outputs.append(state[0])
            after.update(zip(names, state, strict=True))
            x = torch.stack(outputs, 1)  # T times (B, hidden) -> (B, T, hidden)
        return x, after

    def to_library(self) -> nn.RNNBase:
        """Torch's own layer with copies of these weights, batch first: a single operator in an exported graph."""
        first, *_ = (cell for cell, _ in self._layers())
        build: Callable[..., nn.RNNBase] = first.library
        layer = build(first.inputs, self.hidden, len(self.cells), batch_first=True)
        layer.to(first.theta_x.weight.device, first.theta_x.weight.dtype)
        for number, (cell, _) in enumerate(self._layers()):
            cell.give_weights(layer, number)
        return layer

    def _layers(self) -> Iterator[tuple[Cell, tuple[str, ...]]]:
        """Each layer's cell and the names of its states."""
        for number, cell in enumerate(self.cells, 1):
            assert isinstance(cell, Cell)
            yield cell, tuple(f"{state}{number}" for state in cell.states)


def _where(condition: Tensor, new: State, old: State) -> State:
    return tuple(torch.where(condition, now, before) for now, before in zip(new, old, strict=True))
