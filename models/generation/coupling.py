"""Affine coupling layers (DL 28.1-28.2; Dinh et al. 2017, arXiv:1605.08803, section 3), and what they couple by."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.generation.bijection import Bijection, Mapped
from models.layers.initialisation import start_at_zero
from models.layers.sequence import sequence

Conditioner = Callable[[int, int], nn.Module]  # a network from so many channels to so many


class AffineCoupling(Bijection):
    """y_1 = x_1, y_2 = x_2 exp(s(x_1)) + t(x_1), of two halves of the channels.

    log|det| = sum_j s_j; x_2 = (y_2 - t(y_1)) exp(-s(y_1)). s = c tanh(.), with a learnt c for each channel, so that no
    scale can run away. If ``second``, the halves change places.
    """

    def __init__(self, channels: int, conditioner: Conditioner, *, second: bool = False, maps: bool = True) -> None:
        super().__init__()
        self.second, self.kept = second, channels - channels // 2
        if second:
            self.kept = channels // 2
        changed = channels - self.kept
        self.network = conditioner(self.kept, 2 * changed)
        self.c = nn.Parameter(torch.ones(changed, 1, 1) if maps else torch.ones(changed))

    def forward(self, x: Tensor) -> Mapped:
        """(B, C, ...) -> (B, C, ...); see `Bijection`."""
        x_1, x_2 = self._halves(x)
        s, t = self._of(x_1)
        return self._whole(x_1, x_2 * s.exp() + t), s.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        y_1, y_2 = self._halves(y)
        s, t = self._of(y_1)
        return self._whole(y_1, (y_2 - t) * (-s).exp())

    def _of(self, x_1: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.network(x_1).chunk(2, 1)
        return self.c * torch.tanh(s), t

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        changed = x.shape[1] - self.kept
        if self.second:
            return x[:, changed:], x[:, :changed]
        return x[:, : self.kept], x[:, self.kept :]

    def _whole(self, x_1: Tensor, x_2: Tensor) -> Tensor:
        return torch.cat((x_2, x_1) if self.second else (x_1, x_2), 1)


class CheckerboardCoupling(Bijection):
    """y = b x + (1 - b) (x exp(s(b x)) + t(b x)), b a checkerboard of 1 and 0 (equation 9).

    ``odd`` exchanges its colours.
    """

    b: Tensor

    def __init__(self, channels: int, height: int, width: int, conditioner: Conditioner, *, odd: bool) -> None:
        super().__init__()
        self.network = conditioner(channels, 2 * channels)
        self.c = nn.Parameter(torch.ones(channels, 1, 1))
        board = (torch.arange(height)[:, None] + torch.arange(width) + odd) % 2  # (H, W)
        self.register_buffer("b", board.to(torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Mapped:
        """(B, C, H, W) -> (B, C, H, W); see `Bijection`."""
        s, t = self._of(x)
        return x * s.exp() + t, s.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        s, t = self._of(y)
        return (y - t) * (-s).exp()

    def _of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, 0 where b is 1."""
        s, t = self.network(x * self.b).chunk(2, 1)
        return self.c * torch.tanh(s) * (1 - self.b), t * (1 - self.b)


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        added: Tensor = x + self.second(self.first(x.relu()).relu())
        return added


def residual_conditioner(width: int, blocks: int) -> Conditioner:
    """RealNVP's: residual blocks between two 3x3 convolutions."""

    def build(inputs: int, outputs: int) -> nn.Module:
        layers = [nn.Conv2d(inputs, width, 3, padding=1), *(Residual(width) for _ in range(blocks)), nn.ReLU()]
        return sequence([*layers, start_at_zero(nn.Conv2d(width, outputs, 3, padding=1))])

    return build


def plain_conditioner(width: int) -> Conditioner:
    """Glow's: convolutions of 3x3, 1x1 and 3x3 pixels."""

    def build(inputs: int, outputs: int) -> nn.Module:
        layers = [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()]
        return sequence([*layers, start_at_zero(nn.Conv2d(width, outputs, 3, padding=1))])

    return build


def dense_conditioner(width: int) -> Conditioner:
    """For vectors: two hidden layers."""

    def build(inputs: int, outputs: int) -> nn.Module:
        layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        return sequence([*layers, start_at_zero(nn.Linear(width, outputs))])

    return build
