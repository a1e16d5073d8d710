"""The served form of a segmentation network as one ONNX file, compared with torch at more than one size."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from models.segmentation.graph import IMAGE, LOGITS, MASK, PADDED, PROBABILITY, SegmentationGraph
from training.data import Bytes
from training.errors import ExportError
from training.export.joined import join
from training.export.onnx_file import answer, open_onnx, trace

# The share of pixels that may differ. Rounding decides which of two classes that are as probable a pixel is given, and
# which of two values that are as large a pooling finds, whose place max-unpooling then uses.
UNEQUAL = 1e-3
# Pixels less at the right and lower sides, so that no pooling divides the size.
LESS = (7, 5)
ROWS = 16  # computed at a time


class Probabilities(nn.Module):
    """A graph's probabilities alone: unlike classes, they hardly change where two classes are as probable."""

    outputs = (PROBABILITY,)

    def __init__(self, graph: SegmentationGraph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """(B, H, W) or (B, H, W, 3) -> (B, H, W)."""
        _, probability, _, _ = self.graph(image)
        return (probability,)


def to_onnx(graph: SegmentationGraph, images: Bytes) -> onnx.ModelProto:
    """``graph`` as one ONNX graph, for any number of images of any size; ``images`` are two or more of its inputs."""
    before, scores, after = graph.parts
    image = torch.from_numpy(images[:2].copy())
    with torch.no_grad():
        padded = before(image)
        logits = scores(padded)
    size = {1: Dim("height", min=2), 2: Dim("width", min=2)}
    divisor = before.divisor
    # Not of one size: what is traced at equal sides would stay square.
    multiple = {2: divisor * Dim("down", min=2), 3: divisor * Dim("across", min=2)}
    parts = [
        trace(before, {IMAGE: image}, before.outputs, {IMAGE: size}),
        trace(scores, {PADDED: padded}, scores.outputs, {PADDED: multiple}),
        trace(after, {IMAGE: image, LOGITS: logits}, after.outputs, {IMAGE: size, LOGITS: multiple}),
    ]
    return join(parts, graph.inputs, graph.outputs)


def odd(images: Bytes) -> Bytes:
    """``images`` (N, H, W) or (N, H, W, 3) of a size that no pooling divides."""
    height, width = (side - less for side, less in zip(images.shape[1:3], LESS, strict=True))
    return images[:, : height - (height % 2 == 0), : width - (width % 2 == 0)]


def check_masks(path: Path, graph: SegmentationGraph, images: Bytes) -> None:
    """Raise ExportError if the file and torch give more than one in a thousand pixels of ``images`` another class."""
    wanted, found = answer(graph, {IMAGE: images})[MASK], run_onnx(path, images)
    if (share := float((wanted != found).mean())) > UNEQUAL:
        raise ExportError(
            f"parity, masks of {images.shape[2]}x{images.shape[1]}: {share:.2%} of the pixels have another class than "
            f"torch's; at most {UNEQUAL:.1%} may"
        )


def run_onnx(path: Path, images: Bytes) -> npt.NDArray[np.uint8]:
    """The file's masks of ``images``."""
    session = open_onnx(path)
    parts = [images[start : start + ROWS] for start in range(0, len(images), ROWS)]
    return np.concatenate([session.run([MASK], {IMAGE: part})[0] for part in parts])
