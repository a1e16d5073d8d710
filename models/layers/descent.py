"""The descent through each kind of layer, for deconvolution (CV V; Zeiler and Fergus 2013, arXiv:1311.2901).

Each function takes a layer and its input x (B, C, h, w), and returns the layer's output and its descent: a function
that projects a signal (B, K, C', h', w') on the output, K for every image, to (B, K, C, h, w) on the input. Filters are
transposed, poolings are undone by their switches, and rectifiers rectify the signal, whatever they let through before.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, max_pool2d, pad

from models.layers.activation import Maxout, ScaledTanh
from models.receptive_field import geometry

Descent = Callable[[Tensor], tuple[Tensor, ...]]
Climb = Callable[..., tuple[Tensor, Descent]]


def convolution(layer: nn.Conv2d, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: the transposed filters, without the bias."""
    return layer(x), lambda signal: (_spread(signal, layer, layer.weight, x, layer.groups),)


def average_pooling(layer: nn.AvgPool2d, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: an equal share to every pixel of the window."""
    side = geometry(layer)[0]
    shares = x.new_full((1, 1, side, side), 1 / side**2)

    def descend(signal: Tensor) -> tuple[Tensor, ...]:
        each = signal.flatten(1, 2).unsqueeze(2)  # (B, K, C, h', w') -> (B, K C, 1, h', w')
        spread = _spread(each, layer, shares, x, 1)  # (B, K C, 1, h, w)
        return (spread.reshape(-1, *signal.shape[1:3], *x.shape[2:]),)  # (B, K, C, h, w)

    return layer(x), descend


def max_pooling(layer: nn.MaxPool2d, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: everything to the largest pixel, the switch; a pixel that is largest in several windows gets the sum."""
    how = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    y, switches = max_pool2d(x, *how, return_indices=True)  # (B, C, h', w'), an index into h w

    def descend(signal: Tensor) -> tuple[Tensor, ...]:
        rows, count, maps = signal.shape[:3]
        places = switches.flatten(2).unsqueeze(1).expand(-1, count, -1, -1)  # (B, K, C, h' w')
        empty = signal.new_zeros(rows, count, maps, x.shape[2] * x.shape[3])
        sums = empty.scatter_add(3, places, signal.flatten(3))
        return (sums.reshape(-1, count, *x.shape[1:]),)  # (B, K, C, h, w)

    return y, descend


def batch_normalisation(layer: nn.BatchNorm2d, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: the gain in inference, g / sqrt(v + eps), for each map, without the shift."""
    assert layer.running_var is not None
    gain = layer.weight * torch.rsqrt(layer.running_var + layer.eps)
    return layer(x), lambda signal: (signal * gain[:, None, None],)


def group_normalisation(layer: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: the gain from this image's own deviations, kept like the switches of a pooling, without the shift."""
    group = x[0].numel() // layer.num_groups
    variance = x.reshape(-1, layer.num_groups, group).var(2, correction=0)  # (B, C, h, w) -> (B, G)
    deviations = torch.rsqrt(variance + layer.eps).repeat_interleave(x.shape[1] // layer.num_groups, 1)  # (B, C)
    gain = (layer.weight * deviations)[:, None, :, None, None]  # (B, 1, C, 1, 1)
    return layer(x), lambda signal: (signal * gain,)


def rectifier(layer: nn.Module, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: the signal rectified, because the layer's output cannot be negative either."""
    return layer(x), lambda signal: (signal.relu(),)


def unchanged(layer: nn.Module, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: the signal unchanged. This includes activations of both signs, which need no rectifying."""
    return layer(x), lambda signal: (signal,)


def maxout(layer: Maxout, x: Tensor) -> tuple[Tensor, Descent]:
    """Down: everything to the larger of the two linear maps: maxout is a pooling over two maps."""
    first, second = x.chunk(2, dim=1)  # (B, 2 C, h, w) -> twice (B, C, h, w)
    won = (first >= second).unsqueeze(1).to(x.dtype)  # (B, 1, C, h, w)
    return layer(x), lambda signal: (torch.cat([signal * won, signal * (1 - won)], dim=2),)


def addition(x: Tensor, y: Tensor) -> tuple[Tensor, Descent]:
    """Down: the whole signal to both."""
    return x + y, lambda signal: (signal, signal)


def concatenation(xs: list[Tensor], dim: int = 1) -> tuple[Tensor, Descent]:
    """Down: the signal of its own maps to each input."""
    assert dim == 1
    return torch.cat(xs, 1), lambda signal: signal.split([x.shape[1] for x in xs], 2)


def padding(
    x: Tensor, amounts: tuple[int, ...], mode: str = "constant", value: float | None = None
) -> tuple[Tensor, Descent]:
    """Down: the signal without the padding, which must be constant."""
    assert mode == "constant"
    return pad(x, amounts, mode, value), lambda signal: (pad(signal, tuple(-amount for amount in amounts)),)


LAYERS: Mapping[type[nn.Module], Climb] = {
    nn.Conv2d: convolution,
    nn.AvgPool2d: average_pooling,
    nn.MaxPool2d: max_pooling,
    nn.BatchNorm2d: batch_normalisation,
    nn.GroupNorm: group_normalisation,
    **dict.fromkeys((nn.ReLU, nn.Sigmoid, nn.Softplus), rectifier),
    **dict.fromkeys((nn.Tanh, ScaledTanh, nn.Hardtanh, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SiLU), unchanged),
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), unchanged),
    Maxout: maxout,
}
FUNCTIONS: Mapping[Any, Climb] = {operator.add: addition, torch.cat: concatenation, pad: padding}


def _spread(signal: Tensor, layer: nn.Module, weight: Tensor, x: Tensor, groups: int) -> Tensor:
    """The transposed ``weight`` over (B, K, C', h', w') with the steps of ``layer``, to the size of ``x``."""
    kernel, stride, margin, dilation = geometry(layer)
    # If the stride doesn't divide the size, no window covers the last pixels: they get 0.
    reached = [(size - 1) * stride - 2 * margin + dilation * (kernel - 1) + 1 for size in signal.shape[3:]]
    unseen = [size - found for size, found in zip(x.shape[2:], reached, strict=True)]
    flat = signal.flatten(0, 1)  # (B K, C', h', w')
    spread = conv_transpose2d(flat, weight, None, stride, margin, unseen, groups, dilation)  # (B K, C, h, w)
    return spread.reshape(-1, *signal.shape[1:2], *spread.shape[1:])
