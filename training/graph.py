"""The served form of a model: uint8 images in, probabilities out, normalisation and softmax inside."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Served(nn.Module):
    """What a package's graph computes: uint8 images (B, H, W) -> float32 probabilities (B, classes)."""

    def __init__(self, model: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = mean, std

    def forward(self, image: Tensor) -> Tensor:
        """Softmax of the model's logits."""
        logits: Tensor = self.model(normalise(unit(image), self.mean, self.std))  # (B, classes)
        return torch.softmax(logits, dim=1)


def unit(images: Tensor) -> Tensor:
    """uint8 (B, H, W) -> float32 (B, 1, H, W) in 0..1."""
    return images.unsqueeze(1).to(torch.float32) / 255  # (B, H, W) -> (B, 1, H, W)


def normalise(images: Tensor, mean: float, std: float) -> Tensor:
    """Pixels in 0..1 -> mean 0 and deviation 1 over the training split."""
    return (images - mean) / std


def count_parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def count_macs(served: Served, height: int, width: int) -> int:
    """Multiply-accumulates of the convolutions and matrix products for one row."""
    counter = FlopCounterMode(display=False)
    with counter:
        served(torch.zeros(1, height, width, dtype=torch.uint8))
    return int(counter.get_total_flops()) // 2  # a multiply-accumulate is two operations there
