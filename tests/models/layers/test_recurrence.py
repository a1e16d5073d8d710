"""Cells over a sequence: beside their steps, beside torch's layers, and where texts are of different lengths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from models.layers.cell import CELLS
from models.layers.recurrence import Recurrence

each_cell = pytest.mark.parametrize("cell", CELLS)
each_depth = pytest.mark.parametrize("layers", [1, 2])


def recurrence(cell: str, layers: int, dropout: float = 0.0) -> Recurrence:
    torch.manual_seed(0)
    found = Recurrence(cell, 4, 6, layers, dropout).double()
    for parameter in found.parameters():
        nn.init.normal_(parameter, std=0.5)
    return found


def sequences(rows: int, steps: int) -> torch.Tensor:
    return torch.randn(rows, steps, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@each_cell
@each_depth
def test_a_sequence_is_its_steps(cell: str, layers: int) -> None:
    model, x = recurrence(cell, layers), sequences(3, 5)
    start = {name: torch.randn(3, 6, dtype=torch.float64) for name in model.states}
    together, end = model(x, start)
    states = start
    for t in range(5):
        h, states = model.step(x[:, t], states)
        torch.testing.assert_close(h, together[:, t])
    assert list(end) == list(states) == list(model.states)
    for name in model.states:
        torch.testing.assert_close(states[name], end[name])
    torch.testing.assert_close(end[f"h{layers}"], together[:, -1])


@each_cell
@each_depth
def test_the_librarys_layer_with_these_weights_answers_the_same(cell: str, layers: int) -> None:
    model, x = recurrence(cell, layers), sequences(3, 5)
    found, _ = model.to_library()(x)
    torch.testing.assert_close(found, model(x, model.zeros(x))[0])


def test_states_are_named_by_layer() -> None:
    assert recurrence("lstm", 2).states == ("h1", "c1", "h2", "c2")
    assert recurrence("rnn", 1).states == ("h1",)


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    cell=st.sampled_from(list(CELLS)),
    layers=st.integers(1, 2),
)
def test_what_comes_after_a_rows_end_changes_nothing(lengths: list[int], cell: str, layers: int) -> None:
    model, x = recurrence(cell, layers), sequences(len(lengths), 5)
    real = torch.arange(5) < torch.tensor(lengths)[:, None]
    together, end = model(x, model.zeros(x), real)
    for row, length in enumerate(lengths):
        alone, states = model(x[row : row + 1, :length], model.zeros(x[:1]))
        torch.testing.assert_close(together[row, :length], alone[0])
        assert torch.equal(together[row, length:], together[row, length - 1].expand(5 - length, -1))
        for name, state in states.items():
            torch.testing.assert_close(end[name][row], state[0])


def test_dropout_acts_between_layers_in_training_only() -> None:
    model, x = recurrence("gru", 2, dropout=0.5), sequences(3, 5)
    start = model.zeros(x)
    assert not torch.equal(model(x, start)[0], model(x, start)[0])
    assert not torch.equal(model.step(x[:, 0], start)[0], model.step(x[:, 0], start)[0])
    model.eval()
    assert torch.equal(model(x, start)[0], model(x, start)[0])
    single = recurrence("gru", 1, dropout=0.5)
    assert torch.equal(single(x, single.zeros(x))[0], single(x, single.zeros(x))[0])


KINDS, PAUSE = 4, 19


def remembers(clip: float | None) -> float:
    """How often a plain network says, after a pause, which of four symbols came first; a guess is 0.25.

    Its eigenvalues start at magnitude 1.6, so that gradients explode on the way back through the pause.
    """
    torch.manual_seed(0)
    model, scores = Recurrence("rnn", KINDS + 1, 32), nn.Linear(32, KINDS)
    with torch.no_grad():
        model.get_parameter("cells.0.theta_h.weight").mul_(1.6)
    parameters = [*model.parameters(), *scores.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.2)
    right = 0
    for step in range(80):
        first = torch.randint(KINDS, (64,))
        x = torch.zeros(64, PAUSE + 1, KINDS + 1)
        x[torch.arange(64), 0, first] = 1
        x[:, 1:, KINDS] = 1
        logits = scores(model(x, model.zeros(x))[0][:, -1])
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(logits, first))
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        right += int((logits.argmax(1) == first).sum()) if step >= 70 else 0
    return right / 640


@pytest.mark.fit
def test_a_plain_network_learns_a_long_memory_with_clipped_gradients_and_not_without() -> None:
    assert remembers(clip=1.0) > 0.95
    assert remembers(clip=None) < 0.5
