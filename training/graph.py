"""The served form of a model: uint8 images in, probabilities out, normalisation and softmax inside."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Served(nn.Module):
    """What a package's graph computes: uint8 images (B, H, W) or (B, H, W, 3) -> float32 probabilities (B, classes)."""

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = tuple(mean), tuple(std)

    def forward(self, image: Tensor) -> Tensor:
        """Softmax of the model's logits."""
        logits: Tensor = self.model(normalise(unit(image), self.mean, self.std))  # (B, classes)
        return torch.softmax(logits, dim=1)


def unit(images: Tensor) -> Tensor:
    """uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, 1, H, W) or (B, 3, H, W) in 0..1."""
    channels_first = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)  # (B, C, H, W)
    return channels_first.to(torch.float32) / 255


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels (B, C, H, W) in 0..1 -> mean 0 and deviation 1 over the training split, channel by channel."""
    middle, deviation = (images.new_tensor(values)[:, None, None] for values in (mean, std))  # (C, 1, 1)
    return (images - middle) / deviation


def count_parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def count_macs(served: Served, shape: Sequence[int]) -> int:
    """Multiply-accumulates of the convolutions and matrix products for one row, uint8 of ``shape``."""
    counter = FlopCounterMode(display=False)
    with counter:
        served(torch.zeros(1, *shape, dtype=torch.uint8))
    return int(counter.get_total_flops()) // 2  # a multiply-accumulate is two operations there
