"""ResNet-18 at 224 with random weights, as a package: a model that costs what vision models cost.

He et al. 2016, "Deep Residual Learning for Image Recognition", table 1, 18 layers.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.errors import InvalidPackage
from service.package import CARD, Graph, TensorCard, TensorSpec, read_package, sha256

FOLDER = Path("build/bench/zoo")
NAME, FILE = "resnet18", "model.onnx"
SIDE, CLASSES, MAX_BATCH = 224, 1000, 32


class Block(nn.Module):
    """Two 3x3 convolutions around which the input is added; the first may halve the sides."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *convolution(channels, width, 3, stride), nn.ReLU(), *convolution(width, width, 3, 1)
        )
        same = channels == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(channels, width, 1, stride))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, width, H / stride, W / stride)."""
        return torch.relu(self.convolutions(maps) + self.shortcut(maps))


class ResNet18(nn.Module):
    """uint8 images (B, 224, 224, 3) -> logits (B, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        stem = [*convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
        widths += [(128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
        blocks = [Block(*width) for width in widths]
        self.layers = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """The logits: probabilities of random weights are too much alike to tell one answer from another."""
        maps = images.permute(0, 3, 1, 2).float() / 255 - 0.5  # (B, H, W, 3) -> (B, 3, H, W)
        logits: Tensor = self.layers(maps)
        return logits


def convolution(channels: int, width: int, side: int, stride: int) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the sides, but for the stride, and its batch normalisation."""
    return nn.Conv2d(channels, width, side, stride, side // 2, bias=False), nn.BatchNorm2d(width)


def resnet18(repository: Path) -> Path:
    """The repository with the package in it, written unless it is there and sound."""
    written(repository / NAME / "1", write_onnx, card)
    return repository


def written(folder: Path, write: Callable[[Path], None], describe: Callable[[Path], TensorCard]) -> Path:
    """The package's folder, which is written unless it is there and sound: its graph, then what is to be said of it."""
    try:
        read_package(folder)
    except InvalidPackage:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / FILE)
        (folder / CARD).write_text(describe(folder).model_dump_json(indent=1))
    return folder


def card(folder: Path) -> TensorCard:
    """What is to be said of the graph in ``folder``."""
    graph = Graph(
        file=FILE,
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1, SIDE, SIDE, 3)),),
        outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, CLASSES)),),
        max_batch=MAX_BATCH,
    )
    return TensorCard(name=NAME, version=1, graph=graph, files={FILE: sha256(folder / FILE)})


def random_weights() -> ResNet18:
    """The network as it is before training, from a fixed seed."""
    torch.manual_seed(0)
    model = ResNet18()
    show_noise(model)
    return model.eval()


@torch.no_grad()
def show_noise(model: nn.Module) -> None:
    """Let the normalisation of ``model``, which takes uint8 images (B, 224, 224, 3), see noise of many strengths."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    strengths = torch.linspace(0.1, 1, 16).view(-1, 1, 1, 1)
    model.train()((torch.randint(0, 256, (16, SIDE, SIDE, 3)) * strengths).to(torch.uint8))


def write_onnx(path: Path) -> None:
    """Export for any batch size."""
    example = (torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8),)
    batch = {0: torch.export.Dim("batch")}
    quiet_export(random_weights(), example, path, ["image"], ["logits"], {"images": batch})


def quiet_export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, dict[int, Any]],
) -> None:
    """torch's export into one file; ``dynamic`` names the dimensions of ``forward``'s arguments that may vary."""
    # The exporter logs a line for each torchvision operator that it cannot register; we have no torchvision.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch 2.13 copies a tree whose class its own pytree module has deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        # Several inputs have the one batch.
        warnings.filterwarnings("ignore", ".*The axis name: batch will not be used", UserWarning)
        torch.onnx.export(
            module,
            example,
            str(path),
            dynamo=True,
            external_data=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic,
            verbose=False,
        )
