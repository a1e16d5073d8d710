"""What the networks of latents share: layers with their activation, labels beside inputs, and binary pixels."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from models.layers.activation import build_activation, pieces

GATED = "gated"  # y = a sigmoid(b), a and b two linear maps of x (Dauphin et al. 2016, arXiv:1612.08083)


def activated(layer: type[nn.Module], inputs: int, width: int, activation: str, *how: int) -> list[nn.Module]:
    """A ``layer`` of ``width`` outputs, with the further arguments ``how``, and its ``activation``.

    The activation is ``gated`` or one of `models.layers.activation`.

    Raises:
        KeyError: there is no such activation.
    """
    if activation == GATED:
        return [layer(inputs, 2 * width, *how), nn.GLU(1)]
    return [layer(inputs, width * pieces(activation), *how), build_activation(activation)]


def dense(widths: Sequence[int], activation: str) -> nn.Sequential:
    """(B, widths[0]) -> (B, widths[-1]): linear layers, each followed by its ``activation``.

    Raises:
        KeyError: there is no such activation.
    """
    layers = [activated(nn.Linear, inputs, width, activation) for inputs, width in pairwise(widths)]
    return nn.Sequential(*(module for layer in layers for module in layer))


def with_label(x: Tensor, label: Tensor | None, classes: int) -> Tensor:
    """``x`` (B, K, ...) and its ``label`` (B,) int64, one-hot and the same at each place: (B, K + classes, ...).

    A model without classes takes no labels, and then it is ``x`` itself.

    Raises:
        ValueError: labels are given to a model without classes, or missing in one with them.
    """
    if label is None and not classes:
        return x
    if label is None or not classes:
        raise ValueError(f"labels are {'missing' if label is None else 'given'}; the model has {classes} classes")
    ones = one_hot(label, classes).to(x.dtype)  # (B, classes)
    return torch.cat((x, ones[(..., *[None] * (x.ndim - 2))].expand(-1, -1, *x.shape[2:])), 1)


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) (B,) in nats: the sum over pixels of x log p + (1 - x) log(1 - p), with p = sigmoid(logits).

    Both are (B, C, H, W). Only for pixels of 0 and 1 is this a likelihood; of grey ones it is the negative
    cross-entropy.

    Written with softplus: ONNX has torch's own cross-entropy as log(sigmoid), which loses its digits where p is near 0.
    """
    return (x * logits - softplus(logits)).flatten(1).sum(1)
