"""A layer of Gated PixelCNN, of both its stacks (van den Oord et al. 2016, arXiv:1606.05328, section 2)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.generation.autoregressive import build_labels, over_maps, shift_of
from models.generation.raster import apply_point, apply_window


def gate(x: Tensor) -> Tensor:
    """tanh(f) * sigm(g) of the two halves f and g, (B, 2 p, ...) -> (B, p, ...) (equation 2)."""
    f, g = x.chunk(2, 1)
    return torch.tanh(f) * torch.sigmoid(g)


class GatedLayer(nn.Module):
    """One layer of the vertical stack v and the horizontal stack h (figure 2), with ``p`` maps each.

    | vertical    a = V * v, over rows up to its own; v' = gate(a + l_v)
    | horizontal  b = H * h + A a', over pixels up to its own (the first layer: before it); h' = h + R gate(b + l_h)

    a' is a, one row down, so that the horizontal stack gets what is above its pixel: all of it, from both sides. l_v
    and l_h are vectors for each class. The first layer has no h to add to.
    """

    def __init__(self, inputs: int, p: int, kernel: int, classes: int, *, first: bool) -> None:
        super().__init__()
        self.m, self.first = kernel // 2, first
        self.vertical = nn.Conv2d(inputs, 2 * p, (self.m + 1, kernel))
        self.horizontal = nn.Conv2d(inputs, 2 * p, (1, self.m if first else self.m + 1))
        self.across = nn.Conv2d(2 * p, 2 * p, 1, bias=False)
        self.residual = nn.Conv2d(p, p, 1)
        self.labels = build_labels(classes, 4 * p)

    def forward(self, v: Tensor, h: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """v and h, (B, C, H, W) each -> v' and h', (B, p, H, W) each."""
        m, (l_v, l_h) = self.m, self._vectors(label)
        a = self.vertical(pad(v, (m, m, m, 0)))  # (B, 2 p, H, W)
        down = pad(a, (0, 0, 1, 0))[:, :, :-1]  # (B, 2 p, H, W), a'
        before = h[:, :, :, :-1] if self.first else h
        b = self.horizontal(pad(before, (m, 0))) + self.across(down)  # (B, 2 p, H, W)
        after = self.residual(gate(b + over_maps(l_h)))
        return gate(a + over_maps(l_v)), after if self.first else h + after

    def up_step(self, window: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """The vertical stack at one place, from its ``window`` (B, T, C): a (B, 2 p) and v' (B, p)."""
        a = apply_window(self.vertical, window)
        return a, gate(a + self._vectors(label)[0])

    def left_step(self, window: Tensor, above: Tensor, label: Tensor | None) -> Tensor:
        """h' (B, p) at one place, from its ``window`` (B, T, C) and the a one row ``above`` it, (B, 2 p)."""
        b = apply_window(self.horizontal, window) + apply_point(self.across, above)
        after = apply_point(self.residual, gate(b + self._vectors(label)[1]))
        return after if self.first else window[:, -1] + after

    def _vectors(self, label: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        """l_v and l_h, (B, 2 p) each; 0 without classes."""
        both = shift_of(self.labels, label)
        if not isinstance(both, Tensor):
            return both, both
        l_v, l_h = both.chunk(2, 1)  # (B, 4 p) -> twice (B, 2 p)
        return l_v, l_h
