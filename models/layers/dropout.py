"""Dropout of whole maps (I2DL IX.6; Tompson et al. 2015, arXiv:1411.4280)."""

from torch import nn


def build_spatial_dropout(probability: float) -> nn.Module:
    """A layer that sets each map of (B, C, H, W) to 0 with ``probability`` in training; the identity if it is 0."""
    return nn.Dropout2d(probability) if probability else nn.Identity()
