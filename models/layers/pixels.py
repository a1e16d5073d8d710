"""Converts the bytes of images to the input of networks."""

from collections.abc import Sequence

import torch
from torch import Tensor


def unit(images: Tensor) -> Tensor:
    """uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, 1, H, W) or (B, 3, H, W) in 0..1."""
    channels_first = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)  # (B, C, H, W)
    return channels_first.to(torch.float32) / 255


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels (B, C, H, W) in 0..1 -> mean 0 and deviation 1 over the training split, channel by channel."""
    middle, deviation = (images.new_tensor(values)[:, None, None] for values in (mean, std))  # (C, 1, 1)
    return (images - middle) / deviation
