"""Recurrent cells beside torch's, and what the lecture says of their gradients."""

import pytest
import torch
from torch import Tensor, nn

from models.layers.cell import CELLS, Cell, GRUCell, LSTMCell, RNNCell, build_cell

INPUTS, HIDDEN, ROWS = 5, 7, 3
LIBRARY: dict[str, type[nn.RNNCellBase]] = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def cell_and_torchs(name: str) -> tuple[Cell, nn.RNNCellBase]:
    """A cell with random weights and biases, and torch's with the same."""
    torch.manual_seed(0)
    cell = build_cell(name, INPUTS, HIDDEN).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    theirs = LIBRARY[name](INPUTS, HIDDEN).double()  # type: ignore[call-arg]
    bias = torch.zeros_like(cell.theta_x.bias) if cell.theta_h.bias is None else cell.theta_h.bias
    weights = {"weight_ih": cell.theta_x.weight, "bias_ih": cell.theta_x.bias}
    theirs.load_state_dict({**weights, "weight_hh": cell.theta_h.weight, "bias_hh": bias})
    return cell, theirs


def inputs(cell: Cell) -> list[Tensor]:
    """x and the states."""
    sizes = [INPUTS, *(HIDDEN for _ in cell.states)]
    return [torch.randn(ROWS, size, dtype=torch.float64, requires_grad=True) for size in sizes]


@pytest.mark.parametrize("name", CELLS)
def test_a_step_and_its_gradients_are_torchs_with_the_same_weights(name: str) -> None:
    cell, theirs = cell_and_torchs(name)
    tensors = inputs(cell)
    x, *state = tensors
    ours = cell(cell.project(x), tuple(state))
    wanted = theirs(x, tuple(state) if name == "lstm" else state[0])
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert len(ours) == len(cell.states)
    for found, expected in zip(ours, wanted, strict=True):
        torch.testing.assert_close(found, expected)
    weights = [torch.randn_like(each) for each in ours]

    def gradients(answers: tuple[Tensor, ...], parameters: list[Tensor]) -> tuple[Tensor, ...]:
        total = torch.stack([(answer * weight).sum() for answer, weight in zip(answers, weights, strict=True)]).sum()
        return torch.autograd.grad(total, [*tensors, *parameters])

    mine = gradients(ours, [cell.theta_x.weight, cell.theta_h.weight, cell.theta_x.bias])
    others = gradients(wanted, [theirs.weight_ih, theirs.weight_hh, theirs.bias_ih])
    for found, expected in zip(mine, others, strict=True):
        assert expected.any()
        torch.testing.assert_close(found, expected)


def test_only_the_gru_has_a_second_bias_for_its_reset_gate_hides_it() -> None:
    cell, theirs = cell_and_torchs("gru")
    x, h = inputs(cell)
    total = cell(cell.project(x), (h,))[0].square().sum()
    expected = torch.autograd.grad(theirs(x, h).square().sum(), [theirs.bias_hh])[0]
    torch.testing.assert_close(torch.autograd.grad(total, [cell.get_parameter("theta_h.bias")])[0], expected)
    assert RNNCell(1, 1).theta_h.bias is None
    assert LSTMCell(1, 1).theta_h.bias is None


@pytest.mark.parametrize("name", CELLS)
def test_every_gate_starts_with_eigenvalues_of_magnitude_one(name: str) -> None:
    torch.manual_seed(0)
    cell = build_cell(name, INPUTS, HIDDEN)
    gates = torch.split(cell.theta_h.weight, HIDDEN)
    assert len(gates) == len(cell.gates)
    for gate in gates:
        torch.testing.assert_close(torch.linalg.eigvals(gate).abs(), torch.ones(HIDDEN))


def test_a_forget_gate_starts_open_and_every_other_bias_at_zero() -> None:
    i, f, g, o = LSTMCell(INPUTS, HIDDEN).theta_x.bias.chunk(4)
    assert (f == 1).all()
    assert not torch.cat((i, g, o)).any()
    assert not GRUCell(INPUTS, HIDDEN).theta_x.bias.any()


def norm_after(cell: Cell, steps: int) -> float:
    """The norm of the gradient of the last state with respect to the first, without inputs."""
    x = torch.zeros(1, cell.inputs, dtype=torch.float64)
    first = [torch.full((1, HIDDEN), 0.01, dtype=torch.float64, requires_grad=True) for _ in cell.states]
    state = tuple(first)
    for _ in range(steps):
        state = cell(cell.project(x), state)
    return float(torch.autograd.grad(state[-1].sum(), first[-1])[0].norm())


def test_a_plain_networks_gradient_vanishes_or_explodes_as_the_power_of_its_eigenvalues() -> None:
    cell = RNNCell(INPUTS, HIDDEN).double()
    for eigenvalue in (0.5, 0.8):
        with torch.no_grad():
            cell.theta_h.weight.copy_(eigenvalue * torch.eye(HIDDEN))
        assert norm_after(cell, 21) / norm_after(cell, 1) == pytest.approx(eigenvalue**20, rel=0.01)
    with torch.no_grad():
        cell.theta_h.weight.copy_(1.2 * torch.eye(HIDDEN))
    assert norm_after(cell, 6) / norm_after(cell, 1) == pytest.approx(1.2**5, rel=0.01)


def test_an_open_forget_gate_lets_the_gradient_pass_unhindered() -> None:
    cell = LSTMCell(INPUTS, HIDDEN).double()
    with torch.no_grad():
        cell.theta_h.weight.zero_()
        cell.theta_x.bias[HIDDEN : 2 * HIDDEN] = 20  # f = 1
    assert norm_after(cell, 100) == pytest.approx(norm_after(cell, 1))


def test_an_unknown_cell_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match="no cell 'elman'; there are rnn, gru, lstm"):
        build_cell("elman", 1, 1)
