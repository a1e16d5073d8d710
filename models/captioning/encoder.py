"""The encoder: a classifier's last maps, as a grid of features."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from models.classification.rows import build

PLACE = 0.5  # the scale of a place's own vector, relative to its maps
COORDINATES = 6  # one feature in so many depends on the place alone


class _MapsTracer(fx.Tracer):
    """Traces a network up to its last maps, without tracing into its layers."""

    traced_func_name = "maps"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


class ImageEncoder(nn.Module):
    """The maps of the classifier ``backbone``, a row of the model table, as features (B, L, width) of L places.

    The classifier's layers after its last maps are removed; the rest, `backbone`, keeps its names, so that the weights
    of a trained one fit. Each place's K maps go through a linear layer; a vector of that place is added and the sum
    rectified, so that even the mean over places tells where things are. One feature in six depends on the place alone
    (as in Liu et al. 2018, arXiv:1807.03247): mixed with the maps, the place would be too weak to tell what is left of
    what. Both start as `planar`. Batch norm then centres all features, because what most places share would hide
    what only a few have.

    ``shape`` (C, H, W) is that of the images. If the maps are larger than ``grid`` (h, w), they are averaged to it;
    without a grid, L is the number of places in the maps.

    Raises:
        KeyError: there is no such row, or its family lacks a key of ``config``.
        TypeError: the row has no maps.
        ValueError: ``grid`` does not divide the size of the maps.
    """

    def __init__(
        self,
        backbone: str,
        shape: Sequence[int],
        width: int,
        *,
        config: Mapping[str, Any] | None = None,
        grid: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone: Any = build(backbone, {**(config or {})})
        if not hasattr(self.backbone, "maps"):
            raise TypeError(f"model {backbone!r} has no maps for an encoder; give a convolutional one")
        _behead(self.backbone)
        maps, *size = _measure(self.backbone, shape)
        self.grid = (int(grid[0]), int(grid[1])) if grid else (size[0], size[1])
        if any(have % wanted for have, wanted in zip(size, self.grid, strict=True)):
            raise ValueError(f"maps of {size[0]}x{size[1]} cannot be averaged to {self.grid[0]}x{self.grid[1]}")
        windows = (size[0] // self.grid[0], size[1] // self.grid[1])
        self.pool = nn.Identity() if windows == (1, 1) else nn.AvgPool2d(windows)
        coordinates = math.ceil(width / COORDINATES)
        self.projection = nn.Linear(maps, width - coordinates)
        nn.init.kaiming_normal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self.place = nn.Parameter(PLACE * planar(*self.grid, width - coordinates))
        self.coordinates = nn.Parameter(planar(*self.grid, coordinates))
        self.normalisation = nn.BatchNorm1d(width)

    @property
    def shape(self) -> tuple[int, int]:
        """L and width of the features."""
        return self.place.shape[0], self.normalisation.num_features

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, L, width) of normalised images (B, C, H, W); L counts the places of the grid row by row."""
        maps = self.pool(self.backbone.maps(x)).flatten(2).transpose(1, 2)  # (B, K, h, w) -> (B, L, K)
        seen = torch.relu(self.projection(maps) + self.place)  # (B, L, width - coordinates)
        placed = torch.cat((seen, self.coordinates.expand(x.shape[0], -1, -1)), 2)  # (B, L, width)
        features: Tensor = self.normalisation(placed.transpose(1, 2)).transpose(1, 2)
        return features


def planar(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines (height * width, channels) of each place's position, one half vertical, one half horizontal.

    Their wavelengths range from two grids to two places: near places have similar vectors, and "left of" or "above" is
    a difference along a few directions. If ``channels`` is not a multiple of 4, the last ones are left out.
    """
    waves = -(-channels // 4)

    def along(size: int) -> Tensor:
        rates = math.pi / size * torch.logspace(math.log2(0.5), math.log2(max(1, size)), waves, base=2)
        angles = torch.arange(size)[:, None] * rates  # (size, waves)
        return torch.cat((angles.sin(), angles.cos()), 1)  # (size, 2 waves)

    down, across = along(height)[:, None], along(width)[None]
    both = torch.cat((down.expand(-1, width, -1), across.expand(height, -1, -1)), 2)  # (height, width, 4 waves)
    return both.flatten(0, 1)[:, :channels]


def _behead(network: nn.Module) -> None:
    """Remove every layer of ``network`` that its maps don't need."""
    wanted = {str(node.target).split(".")[0] for node in _MapsTracer().trace(network).nodes if node.op == "call_module"}
    for name in [name for name, _ in network.named_children() if name not in wanted]:
        delattr(network, name)


@torch.no_grad()
def _measure(network: Any, shape: Sequence[int]) -> tuple[int, int, int]:
    """K, h and w of the maps of images of ``shape``."""
    network.eval()
    _, maps, height, width = network.maps(torch.zeros(1, *shape)).shape
    network.train()
    return maps, height, width
