"""Invertible layers with a known Jacobian, of which normalising flows are made (DL 28).

Each maps x to y and gives log|det dy/dx| of each row, (B,); `inverse` maps y back to x.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

Mapped = tuple[Tensor, Tensor]  # y, and log|det dy/dx| (B,)


class Bijection(nn.Module, ABC):
    """An invertible function."""

    @abstractmethod
    def forward(self, x: Tensor) -> Mapped:
        """y, and log|det dy/dx| (B,)."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """The x of this y."""


class Chain(Bijection):
    """One after the other; the logarithms of their determinants add up."""

    def __init__(self, layers: Sequence[Bijection]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Mapped:
        """See `Bijection`."""
        total = x.new_zeros(x.shape[0])
        for layer in self.layers:
            x, found = layer(x)
            total = total + found
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        for layer in reversed(list(self.layers)):
            assert isinstance(layer, Bijection)
            y = layer.inverse(y)
        return y


class Logit(Bijection):
    """y = logit(a + (1 - 2 a) x): pixels in 0..1 to all numbers (Dinh et al. 2017, arXiv:1605.08803, section 4.1)."""

    def __init__(self, a: float = 0.05) -> None:
        super().__init__()
        self.a = a

    def forward(self, x: Tensor) -> Mapped:
        """See `Bijection`; dy/dx = (1 - 2 a) / (p (1 - p)), p the argument of the logit."""
        p = self.a + (1 - 2 * self.a) * x
        log_p, log_q = p.log(), (1 - p).log()
        return log_p - log_q, (math.log(1 - 2 * self.a) - log_p - log_q).flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        return (torch.sigmoid(y) - self.a) / (1 - 2 * self.a)


class Centre(Bijection):
    """y = 2 x - 1: pixels in 0..1 to numbers around 0."""

    def forward(self, x: Tensor) -> Mapped:
        """See `Bijection`."""
        return 2 * x - 1, x.new_full((x.shape[0],), x[0].numel() * math.log(2))

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        return (y + 1) / 2


class Squeeze(Bijection):
    """Each 2x2 square of pixels to four channels (Dinh et al. 2017, section 3.6); the volume stays."""

    def forward(self, x: Tensor) -> Mapped:
        """(B, C, 2 H, 2 W) -> (B, 4 C, H, W); see `Bijection`."""
        return pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """(B, 4 C, H, W) -> (B, C, 2 H, 2 W)."""
        return pixel_shuffle(y, 2)


class Permutation(Bijection):
    """Reorders the channels, or the values of a vector, in a fixed way drawn from ``seed`` (DL 28.3)."""

    order: Tensor
    back: Tensor

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        drawn = torch.randperm(channels, generator=torch.Generator().manual_seed(seed), device="cpu")
        order = drawn.to(torch.get_default_device())
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def forward(self, x: Tensor) -> Mapped:
        """(B, C, ...) -> (B, C, ...); see `Bijection`."""
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        return y.index_select(1, self.back)


class ActNorm(Bijection):
    """y = exp(g) x + b for each channel (Kingma and Dhariwal 2018, arXiv:1807.03039, section 3.1).

    g and b start such that the first batch of training has mean 0 and deviation 1 in every channel.
    """

    started: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g, self.b = (nn.Parameter(torch.zeros(channels, 1, 1)) for _ in range(2))
        self.register_buffer("started", torch.tensor(False))

    def forward(self, x: Tensor) -> Mapped:
        """(B, C, H, W) -> (B, C, H, W); see `Bijection`."""
        if self.training and not self.started.is_meta and not self.started:  # on meta there are no values
            self._start(x)
        volume = self.g.sum() * (x.shape[2] * x.shape[3])
        return x * self.g.exp() + self.b, volume.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        return (y - self.b) * (-self.g).exp()

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        deviation, mean = torch.std_mean(x, (0, 2, 3), keepdim=True)  # (1, C, 1, 1) each
        self.g.copy_(-(deviation[0] + 1e-6).log())
        self.b.copy_(-mean[0] * self.g.exp())
        self.started.fill_(True)
