"""Convolutions over an image that comes pixel by pixel, in raster order.

A layer's maps, row by row, are a sequence, and a window around a pixel covers places at fixed distances in it. So the
last few rows are kept as a line (B, D, ...) whose newest place is the last, and a window picks places of it, with zeros
where it reaches beyond the left or right side of the image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

Offset = tuple[int, int]  # rows and columns from the place that a window belongs to


def causal_offsets(kernel: int, centre: bool) -> tuple[Offset, ...]:
    """The places before the middle of a square window, in raster order, and then the middle itself if ``centre``."""
    m = kernel // 2
    places = [(row, column) for row in range(-m, m + 1) for column in range(-m, m + 1)]
    return tuple(places[: kernel * kernel // 2 + centre])


def upper_offsets(kernel: int) -> tuple[Offset, ...]:
    """The places of a square window down to its middle row, in raster order."""
    m = kernel // 2
    return tuple((row, column) for row in range(-m, 1) for column in range(-m, m + 1))


def places(offsets: Sequence[Offset], width: int, middle: int) -> Tensor:
    """Where each offset is in a line, (T,) int64, if the window's own place is at ``middle`` there."""
    return torch.tensor([middle + row * width + column for row, column in offsets], dtype=torch.int64)


def columns(offsets: Sequence[Offset]) -> Tensor:
    """The columns of the offsets, (T,) int64."""
    return torch.tensor([column for _, column in offsets], dtype=torch.int64)


def inside(column: Tensor, across: Tensor, width: int) -> Tensor:
    """1 where ``column`` (...) and each distance of ``across`` (T,) is a column of the image, else 0: (..., T)."""
    reached = column.unsqueeze(-1) + across
    return ((reached >= 0) & (reached < width)).to(torch.float32)


def push(line: Tensor, newest: Tensor) -> Tensor:
    """The line (B, D, ...) without its oldest place and with ``newest`` (B, ...) at its end."""
    return torch.cat((line[:, 1:], newest.unsqueeze(1)), 1)


def apply_window(layer: nn.Conv2d, window: Tensor) -> Tensor:
    """The convolution at one place: ``window`` (B, T, C), the first T taps of its kernel in raster order -> (B, K)."""
    taps = layer.weight.flatten(2)[:, :, : window.shape[1]]  # (K, C, F F) -> (K, C, T)
    return linear(window.flatten(1), taps.transpose(1, 2).flatten(1), layer.bias)  # (B, T C) -> (B, K)


def apply_point(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution at one place, (B, C) -> (B, K)."""
    return linear(x, layer.weight.flatten(1), layer.bias)
