"""Layers one after the other, numbered as the published weights number them."""

from collections.abc import Iterable

from torch import nn


def sequence(layers: Iterable[nn.Module]) -> nn.Sequential:
    """``layers`` without those that do nothing (such as no normalisation), so that these do not take a number."""
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
