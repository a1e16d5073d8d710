"""Upsampling by two, by name (I2DL X.8; MP 6, semantic segmentation).

``nearest``, ``bilinear`` and ``bicubic`` interpolate. ``bed_of_nails`` puts each value into the upper left of four
places and ``max_unpooling`` puts it where the maximum was that the encoder's pooling kept (Zeiler and Fergus 2013,
arXiv:1311.2901); both leave zeros elsewhere. ``transposed`` learns its filter.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_unpool2d

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
UPSAMPLINGS = ("nearest", "bed_of_nails", "max_unpooling", "bilinear", "bicubic", "transposed")


class Interpolation(nn.Module):
    """Interpolates between the centres of pixels."""

    def __init__(self, mode: str, factor: int = 2) -> None:
        super().__init__()
        self.mode, self.factor = mode, factor

    def forward(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """(B, K, H, W) -> (B, K, factor H, factor W)."""
        return interpolate(x, scale_factor=float(self.factor), mode=self.mode)

    def extra_repr(self) -> str:
        """Mode and factor."""
        return f"{self.mode}, factor={self.factor}"


class BedOfNails(nn.Module):
    """y[2i, 2j] = x[i, j]; every other value is 0."""

    def forward(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """(B, K, H, W) -> (B, K, 2 H, 2 W)."""
        nothing = torch.zeros_like(x)
        rows = torch.stack((x, nothing), 4).flatten(3)  # (B, K, H, W, 2) -> (B, K, H, 2 W)
        return torch.stack((rows, torch.zeros_like(rows)), 3).flatten(2, 3)  # (B, K, H, 2, 2 W) -> (B, K, 2 H, 2 W)


class MaxUnpooling(nn.Module):
    """y[p] = x[i, j], p the place of the maximum of window (i, j) in the encoder; every other value is 0."""

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        """(B, K, H, W), with the places ``pooled`` (B, K, H, W) that the pooling returned -> (B, K, 2 H, 2 W)."""
        return max_unpool2d(x, pooled, [2, 2])


class Upsampling(nn.Module):
    """Doubles height and width, and gives ``outputs`` maps of ``inputs``.

    A transposed convolution, 2x2 with stride 2, does both. Before any other upsampling a 1x1 convolution changes the
    number of maps, unless it stays as it is: at the smaller size that costs a quarter.

    Raises:
        KeyError: there is no upsampling of that name.
    """

    def __init__(self, name: str, inputs: int, outputs: int) -> None:
        super().__init__()
        if name not in UPSAMPLINGS:
            raise KeyError(f"no upsampling {name!r}; there are {', '.join(UPSAMPLINGS)}")
        self.convolution: nn.Module = nn.Identity()
        self.transposed = name == "transposed"
        if self.transposed:
            self.convolution = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        elif inputs != outputs:
            self.convolution = nn.Conv2d(inputs, outputs, 1)
        self.resize: nn.Module = nn.Identity()
        if name in INTERPOLATIONS:
            self.resize = Interpolation(name)
        elif not self.transposed:
            self.resize = UNPOOLINGS[name]()

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, 2 H, 2 W).

        ``pooled`` (B, outputs, H, W) are the places of the maxima of the encoder's pooling of 2 H x 2 W, which only
        max-unpooling reads.
        """
        x = self.convolution(x)  # (B, outputs, H, W); a transposed one gives (B, outputs, 2 H, 2 W)
        y: Tensor = x if self.transposed else self.resize(x, pooled)
        return y


UNPOOLINGS: Mapping[str, type[nn.Module]] = {"bed_of_nails": BedOfNails, "max_unpooling": MaxUnpooling}


def bilinear_convolution(maps: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution that upsamples each of ``maps`` by ``factor`` and starts as bilinear interpolation.

    Its kernel has 2 ``factor`` - ``factor`` mod 2 values a side (Long et al. 2015, arXiv:1411.4038, section 3.3).
    """
    side = 2 * factor - factor % 2
    layer = nn.ConvTranspose2d(maps, maps, side, stride=factor, padding=(side - factor) // 2, groups=maps, bias=False)
    centre = (side - 1) / 2
    line = 1 - (torch.arange(side) - centre).abs() / factor  # (side,), a triangle
    with torch.no_grad():
        layer.weight.copy_(line[:, None] * line)  # (maps, 1, side, side)
    return layer
