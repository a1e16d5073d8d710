"""ResNet-50 at 224 with random weights in float16, as a package.

He et al. 2016, "Deep Residual Learning for Image Recognition", table 1, 50 layers; the stride is on the 3x3
convolution, as everybody has it now.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from deploy.bench.gpu.bare import write_float16
from deploy.bench.graphs import CLASSES, SIDE, card, convolution, quiet_export, written
from service.package import TensorCard

NAME = "resnet50"
# Width of the 3x3 convolutions, blocks, stride of the first; table 1's conv2_x to conv5_x.
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, around which the input is added; the last is four times as wide."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *convolution(channels, width, 1, 1),
            nn.ReLU(),
            *convolution(width, width, 3, stride),
            nn.ReLU(),
            *convolution(width, 4 * width, 1, 1),
        )
        same = channels == 4 * width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(channels, 4 * width, 1, stride))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        return torch.relu(self.convolutions(maps) + self.shortcut(maps))


class ResNet50(nn.Module):
    """uint8 images (B, H, W, 3) -> logits (B, 1000)."""

    def __init__(self, stages: tuple[tuple[int, int, int], ...] = STAGES) -> None:
        super().__init__()
        channels = stages[0][0]
        layers = [*convolution(3, channels, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        for width, blocks, stride in stages:
            for block in range(blocks):
                layers.append(Bottleneck(channels, width, 1 if block else stride))
                channels = 4 * width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """The logits: probabilities of random weights are too much alike to tell one answer from another."""
        maps = images.permute(0, 3, 1, 2).float() / 255 - 0.5  # (B, H, W, 3) -> (B, 3, H, W)
        logits: Tensor = self.layers(maps)
        return logits


def resnet50(repository: Path, stages: tuple[tuple[int, int, int], ...] = STAGES) -> Path:
    """The folder of the package in ``repository``, written unless it is there and sound."""
    return written(repository / NAME / "1", partial(_write_onnx, stages), _card)


def _card(folder: Path) -> TensorCard:
    """ResNet-18's but for the name: the same tensors."""
    return card(folder).model_copy(update={"name": NAME})


@torch.no_grad()
def _write_onnx(stages: tuple[tuple[int, int, int], ...], path: Path) -> None:
    torch.manual_seed(0)
    model = ResNet50(stages)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model(torch.randint(0, 256, (4, SIDE, SIDE, 3), dtype=torch.uint8))  # for the normalisation to have seen something
    example = (torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8),)
    whole = path.with_name("float32.onnx")
    quiet_export(model.eval(), example, whole, ["image"], ["logits"], {"images": {0: torch.export.Dim("batch")}})
    write_float16(whole, path)
    whole.unlink()
