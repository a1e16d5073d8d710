"""Activations by name (I2DL III and VII.2; DL 8.5)."""

from collections.abc import Mapping

from torch import Tensor, maximum, nn


class Maxout(nn.Module):
    """max(w_1 x + b_1, w_2 x + b_2) (Goodfellow et al. 2013, arXiv:1302.4389).

    The layer before it computes both linear maps, so it has twice the channels: see `pieces`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, ...) -> (B, C, ...)."""
        first, second = x.chunk(2, dim=1)  # (B, 2 C, ...) -> twice (B, C, ...)
        return maximum(first, second)


class ScaledTanh(nn.Module):
    """A tanh(S a), A = 1.7159, S = 2/3 (LeCun et al. 1998, appendix A), so that f(1) = 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each value of ``x``."""
        return 1.7159 * (x * (2 / 3)).tanh()


ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled_tanh": ScaledTanh,
    "hard_tanh": nn.Hardtanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,  # slope 0.01
    "parametric_relu": nn.PReLU,  # one slope per layer, learnt, initially 0.25
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "swish": nn.SiLU,  # x sigmoid(x)
    "maxout": Maxout,
}


def build_activation(name: str) -> nn.Module:
    """The activation called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    if name not in ACTIVATIONS:
        raise KeyError(f"no activation {name!r}; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def pieces(name: str) -> int:
    """The number of input channels that the activation ``name`` needs for each output channel."""
    return 2 if name == "maxout" else 1
