"""Packages of residual networks at 224x224 with random weights, as expensive as trained vision models."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.classification.rows import build
from service.errors import InvalidPackage
from service.package import CARD, Graph, TensorCard, TensorSpec, read_package, sha256
from training.classification.graph import IMAGE, Served
from training.export.onnx_file import save, trace

FOLDER = Path("build/bench/zoo")
NAME, FILE = "resnet18", "model.onnx"
SIDE, CLASSES, MAX_BATCH = 224, 1000, 32
HALF, ONE = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)

Describe = Callable[[Path], TensorCard]


class Logits(nn.Module):
    """uint8 images (B, 224, 224, 3) -> logits (B, 1000) of ``network``.

    The probabilities of a network with random weights are too similar to tell answers apart.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.served = Served(network, HALF, ONE)

    def forward(self, image: Tensor) -> Tensor:
        """The logits."""
        return self.served.scores(image)[0]


def resnet18(repository: Path) -> Path:
    """The repository with the package in it, which is written unless it exists and is valid."""
    written(repository / NAME / "1", partial(write_logits, NAME), card)
    return repository


def written(folder: Path, write: Callable[[Path], None], describe: Describe) -> Path:
    """The package's folder; unless it exists and is valid, its graph and then its card are written."""
    try:
        read_package(folder)
    except InvalidPackage:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / FILE)
        (folder / CARD).write_text(describe(folder).model_dump_json(indent=1))
    return folder


def card(folder: Path) -> TensorCard:
    """The card of the graph of logits in ``folder``."""
    graph = Graph(
        file=FILE,
        inputs=(TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, SIDE, SIDE, 3)),),
        outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, CLASSES)),),
        max_batch=MAX_BATCH,
    )
    return TensorCard(name=folder.parent.name, version=1, graph=graph, files={FILE: sha256(folder / FILE)})


def write_logits(name: str, path: Path, config: Mapping[str, Any] | None = None) -> None:
    """Write the logits of the registry's ``name``, with random weights, for any batch size."""
    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    save(trace(Logits(random_weights(name, config)), {IMAGE: example}, ["logits"]), path)


@torch.no_grad()
def random_weights(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """The untrained network, from a fixed seed, with normalisation statistics from noise of many strengths."""
    torch.manual_seed(0)
    network = build(name, config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    strengths = torch.linspace(0.1, 1, 16).view(-1, 1, 1, 1)
    noise = (torch.randint(0, 256, (16, SIDE, SIDE, 3)) * strengths).to(torch.uint8)
    Logits(network).train()(noise)
    return network.eval()
