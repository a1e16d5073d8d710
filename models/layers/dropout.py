"""Dropout of whole maps (I2DL IX.6; Tompson et al. 2015, arXiv:1411.4280)."""

from torch import nn


def build_spatial_dropout(probability: float) -> nn.Module:
    """Sets each map of (B, C, H, W) to zero with ``probability`` in training; nothing at all at 0."""
    return nn.Dropout2d(probability) if probability else nn.Identity()
