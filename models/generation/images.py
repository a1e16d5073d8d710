"""The bytes of images, and the maps that generative networks take and give."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def to_maps(image: Tensor, margin: int = 0) -> Tensor:
    """uint8 (B, h, w) or (B, h, w, 3) -> float32 (B, C, H, W) in 0..255, with ``margin`` black pixels on each side."""
    maps = image.unsqueeze(1) if image.ndim == 3 else image.permute(0, 3, 1, 2)  # (B, C, h, w)
    return pad(maps.to(torch.float32), (margin,) * 4) if margin else maps.to(torch.float32)


def to_image(maps: Tensor, margin: int = 0) -> Tensor:
    """Whole numbers (B, C, H, W) in 0..255 -> uint8 (B, h, w) or (B, h, w, 3), without the ``margin``."""
    height, width = maps.shape[2] - margin, maps.shape[3] - margin
    bytes_ = maps[:, :, margin:height, margin:width].to(torch.uint8)
    return bytes_.squeeze(1) if maps.shape[1] == 1 else bytes_.permute(0, 2, 3, 1)
