"""Exports the deconvolution graph of a classifier, which shows what drives the maps of a layer."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.deconvolution import STRONGEST, Deconvolution
from models.layers.pixels import normalise, unit
from service.package import Deconvolution as Description
from service.package import Graph, TensorSpec
from service.package.explain import LAYER, MAPS, RECONSTRUCTIONS, STRENGTHS
from training.classification.graph import IMAGE
from training.data import Bytes
from training.errors import ExportError
from training.export.float16 import store_float16
from training.export.onnx_file import open_onnx, save, trace

DECONV_GRAPH = "deconv.onnx"
OUTPUTS = (RECONSTRUCTIONS, MAPS, STRENGTHS)
PARITY_LIMIT = 1e-4  # as a share of the largest value
SHAKEN = 1e-6  # the relative change of each weight
MAX_BATCH = 16
BATCH_MACS = 8 << 30  # at most so many in one run, unless one row needs more

Arrays = dict[str, Any]


class ServedDeconvolution(nn.Module):
    """The graph's computation: uint8 images (B, H, W) or (B, H, W, 3) and ``layer`` (B,) -> the tensors of `OUTPUTS`.

    These are the ``reconstructions`` (B, K, H, W) or (B, K, H, W, 3), in standard deviations of the pixels, the indices
    of the layer's maps they show (B, K), and the ``strengths`` of these maps (B, K).

    Raises:
        TypeError: `models.deconvolution.Deconvolution` does not support the model.
    """

    def __init__(
        self, model: nn.Module, mean: Sequence[float], std: Sequence[float], strongest: int = STRONGEST
    ) -> None:
        super().__init__()
        self.deconvolution = Deconvolution(model, strongest)
        self.mean, self.std = tuple(mean), tuple(std)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers; an image's ``layer`` is an index into them."""
        return self.deconvolution.layers

    def forward(self, image: Tensor, layer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The reconstructions, maps and strengths."""
        images = normalise(unit(image).contiguous(), self.mean, self.std)  # (B, C, H, W)
        reconstructions, maps, strengths = self.deconvolution(images, layer)
        if image.ndim == 3:
            return reconstructions.squeeze(2), maps, strengths  # (B, K, 1, H, W) -> (B, K, H, W)
        return reconstructions.permute(0, 1, 3, 4, 2), maps, strengths  # (B, K, 3, H, W) -> (B, K, H, W, 3)


def write_deconvolution(served: ServedDeconvolution, shape: Sequence[int], path: Path) -> Description:
    """Write ``served``, which takes uint8 rows of ``shape``, to ``path``, and return its description for the card.

    Weights that lose nothing by it are stored in 16 bits.
    """
    example = _example(np.zeros((2, *shape), np.uint8), np.zeros(2, np.int64))
    model = trace(served, example, OUTPUTS)
    store_float16(model)
    save(model, path)
    row = compute(served, np.zeros((1, *shape), np.uint8), np.zeros(1, np.int64))
    datatypes = {RECONSTRUCTIONS: "FP32", MAPS: "INT64", STRENGTHS: "FP32"}
    graph = Graph(
        file=path.name,
        inputs=(
            TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, *shape)),
            TensorSpec(name=LAYER, datatype="INT64", shape=(-1,)),
        ),
        outputs=tuple(TensorSpec(name=n, datatype=datatypes[n], shape=(-1, *row[n].shape[1:])) for n in OUTPUTS),
        max_batch=largest_batch(served, shape),
    )
    return Description(graph=graph, layers=served.layers)


@torch.no_grad()
def compute(served: ServedDeconvolution, images: Bytes, layer: npt.NDArray[np.int64]) -> Arrays:
    """Torch's outputs, by name."""
    found = served.eval()(*_example(images, layer).values())
    return {name: tensor.numpy() for name, tensor in zip(OUTPUTS, found, strict=True)}


def deconvolution_parity(path: Path, served: ServedDeconvolution, images: Bytes) -> dict[str, float]:
    """The largest difference between the file and torch, as a share of the largest value, for each batch size.

    The batch sizes are 1, 3 and the number of layers; the first row asks for the last layer.

    Raises:
        ExportError: it is above 1e-4, the two disagree on which maps are the strongest, or as `steady`.
    """
    session, layers = open_onnx(path), len(served.layers)
    rows, layer = steady(served, images, range(layers - 1, -1, -1))
    differences = {}
    for batch in dict.fromkeys((1, 3, layers)):
        some, asked = np.resize(rows, (batch, *rows.shape[1:])), np.resize(layer, batch)
        found = dict(zip(OUTPUTS, session.run(list(OUTPUTS), {IMAGE: some, LAYER: asked}), strict=True))
        difference = _difference(found, compute(served, some, asked))
        if not difference <= PARITY_LIMIT:
            raise ExportError(
                f"deconvolution, batch {batch}: differs from torch by {difference:.2e} of the largest value; at most "
                f"{PARITY_LIMIT} is allowed (inf: other maps are the strongest)"
            )
        differences[str(batch)] = difference
    return differences


def golden_deconvolution(served: ServedDeconvolution, images: Bytes, part: str) -> Arrays:
    """Inputs and torch's outputs for the golden example, with the first and the last layer; names start with ``part``.

    Raises:
        ExportError: as `steady`.
    """
    rows, layer = steady(served, images, (0, len(served.layers) - 1))
    arrays = {IMAGE: rows, LAYER: layer, **compute(served, rows, layer)}
    return {f"{part}.{name}": array for name, array in arrays.items()}


def steady(served: ServedDeconvolution, images: Bytes, layers: Iterable[int]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """For each of ``layers``, the first of ``images`` whose answer does not change if every weight does by a millionth.

    Other images cannot be compared: if two pixels are almost equal, the switch of a pooling depends on the rounding of
    the processor, and the signal takes another path. Deep networks have many poolings.

    Returns:
        An image for each layer, and the layers (L,).

    Raises:
        ExportError: a layer has no such image.
    """
    shaken = _shake(served)
    rows, asked = [], np.fromiter(layers, np.int64)
    for layer in asked:
        for image in images:
            how = (image[None], np.array([layer]))
            if _difference(compute(shaken, *how), compute(served, *how)) <= PARITY_LIMIT:
                rows.append(image)
                break
        else:
            raise ExportError(
                f"deconvolution, {served.layers[layer]}: the answers to all {len(images)} images depend on rounding"
            )
    return np.stack(rows), asked


def largest_batch(served: ServedDeconvolution, shape: Sequence[int]) -> int:
    """The largest batch, 1 to `MAX_BATCH` rows: fewer if a row is expensive."""
    counter = FlopCounterMode(display=False)
    with counter:
        compute(served, np.zeros((1, *shape), np.uint8), np.zeros(1, np.int64))
    return max(1, min(MAX_BATCH, BATCH_MACS // (int(counter.get_total_flops()) // 2)))


def _shake(served: ServedDeconvolution) -> ServedDeconvolution:
    network, random = deepcopy(served.deconvolution.network), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1 + SHAKEN * torch.randn(weights.shape, generator=random))
    return ServedDeconvolution(network, served.mean, served.std, served.deconvolution.strongest)


def _difference(found: Arrays, wanted: Arrays) -> float:
    if not np.array_equal(found[MAPS], wanted[MAPS]):
        return np.inf
    return max(_share(found[name], wanted[name]) for name in (RECONSTRUCTIONS, STRENGTHS))


def _share(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> float:
    largest = max(float(np.abs(wanted).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(found - wanted).max()) / largest


def _example(images: Bytes, layer: npt.NDArray[np.int64]) -> dict[str, Tensor]:
    return {IMAGE: torch.from_numpy(images.copy()), LAYER: torch.from_numpy(layer.copy())}
