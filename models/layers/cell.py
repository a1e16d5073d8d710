"""Recurrent cells: one step of a recurrent network (I2DL XI.2-3; MP 7)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class Cell(nn.Module, ABC):
    """theta_x and theta_h map the input and the hidden state to ``gates`` of ``hidden`` units each; a gate has one b.

    theta_x x_t + b doesn't depend on the state, so `project` computes it, for all steps at once if they are known.
    Each gate's theta_h starts orthogonal: all eigenvalues have magnitude 1, so that signals neither vanish nor
    explode at first.
    """

    states: ClassVar[tuple[str, ...]]  # the hidden state comes first
    gates: ClassVar[tuple[str, ...]]
    library: ClassVar[type[nn.RNNBase]]  # torch's layer of the same equations

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.theta_x = nn.Linear(inputs, len(self.gates) * hidden)
        self.theta_h = nn.Linear(hidden, len(self.gates) * hidden, bias=False)
        nn.init.xavier_uniform_(self.theta_x.weight)
        nn.init.zeros_(self.theta_x.bias)
        for gate in torch.split(self.theta_h.weight, hidden):
            nn.init.orthogonal_(gate)

    def project(self, x: Tensor) -> Tensor:
        """theta_x x + b, (..., inputs) -> (..., gates * hidden)."""
        projected: Tensor = self.theta_x(x)
        return projected

    @abstractmethod
    def forward(self, projected: Tensor, state: State) -> State:
        """The state after the step whose ``projected`` input is (B, gates * hidden); each of ``state`` (B, hidden)."""

    def zeros(self, x: Tensor) -> State:
        """The state before the first step, for each row of ``x``."""
        return tuple(x.new_zeros(x.shape[0], self.hidden) for _ in self.states)

    def give_weights(self, layer: nn.RNNBase, number: int) -> None:
        """Give layer ``number`` of torch's recurrent ``layer`` this cell's weights."""
        theirs = {"weight_ih": self.theta_x.weight, "weight_hh": self.theta_h.weight, "bias_ih": self.theta_x.bias}
        theirs["bias_hh"] = self.theta_x.bias.new_zeros(self.theta_x.bias.shape)
        if self.theta_h.bias is not None:
            theirs["bias_hh"] = self.theta_h.bias
        with torch.no_grad():
            for name, values in theirs.items():
                layer.get_parameter(f"{name}_l{number}").copy_(values)


class RNNCell(Cell):
    """h_t = tanh(theta_x x_t + theta_h h_(t-1) + b)."""

    states = ("h",)
    gates = ("h",)
    library = nn.RNN

    def forward(self, projected: Tensor, state: State) -> State:
        """See `Cell`."""
        return (torch.tanh(projected + self.theta_h(state[0])),)


class GRUCell(Cell):
    """The gated recurrent unit: two gates, and no cell beside the hidden state (Cho et al. 2014, arXiv:1406.1078).

    | reset   r_t = sigm(theta_xr x_t + theta_hr h_(t-1) + b_r)
    | update  z_t = sigm(theta_xz x_t + theta_hz h_(t-1) + b_z)
    | new     n_t = tanh(theta_xn x_t + b_n + r_t * (theta_hn h_(t-1) + b_hn))
    | output  h_t = (1 - z_t) * n_t + z_t * h_(t-1)

    The reset gate is applied after theta_hn, as in every library, so theta_hn has a bias b_hn; in the paper it is
    applied before.
    """

    states = ("h",)
    gates = ("r", "z", "n")
    library = nn.GRU

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.theta_h.bias = nn.Parameter(torch.zeros(3 * hidden))

    def forward(self, projected: Tensor, state: State) -> State:
        """See `Cell`."""
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, 1)  # (B, 3 hidden) -> three times (B, hidden)
        h_r, h_z, h_n = self.theta_h(h).chunk(3, 1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return (n + z * (h - n),)


class LSTMCell(Cell):
    """Long short-term memory: gates erase, write and read a cell C (Hochreiter and Schmidhuber 1997).

    | input   i_t = sigm(theta_xi x_t + theta_hi h_(t-1) + b_i)
    | forget  f_t = sigm(theta_xf x_t + theta_hf h_(t-1) + b_f)
    | update  g_t = tanh(theta_xg x_t + theta_hg h_(t-1) + b_g)
    | output  o_t = sigm(theta_xo x_t + theta_ho h_(t-1) + b_o)
    | cell    C_t = f_t * C_(t-1) + i_t * g_t
    | hidden  h_t = o_t * tanh(C_t)

    b_f starts at 1, so that the cell keeps its content until it learns to forget (Jozefowicz et al. 2015).
    """

    states = ("h", "c")
    gates = ("i", "f", "g", "o")
    library = nn.LSTM

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        nn.init.ones_(self.theta_x.bias[hidden : 2 * hidden])

    def forward(self, projected: Tensor, state: State) -> State:
        """See `Cell`."""
        h, c = state
        i, f, g, o = (projected + self.theta_h(h)).chunk(4, 1)  # (B, 4 hidden) -> four times (B, hidden)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


CELLS: Mapping[str, type[Cell]] = {"rnn": RNNCell, "gru": GRUCell, "lstm": LSTMCell}


def build_cell(name: str, inputs: int, hidden: int) -> Cell:
    """The cell called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    if name not in CELLS:
        raise KeyError(f"no cell {name!r}; there are {', '.join(CELLS)}")
    return CELLS[name](inputs, hidden)
