"""The served form of a classifier as one ONNX file, compared with torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from training.classification.graph import IMAGE, Served
from training.data import Bytes
from training.export.onnx_file import Answers, Floats, answer, open_onnx, trace

ROWS = 64  # computed at a time


def to_onnx(served: Served, shape: Sequence[int]) -> onnx.ModelProto:
    """``served``, which takes uint8 rows of ``shape``, as an ONNX graph for any batch size."""
    return trace(served, {IMAGE: torch.zeros(2, *shape, dtype=torch.uint8)}, served.outputs)


def reference(served: Served, images: Bytes) -> Answers:
    """Torch's outputs for uint8 images (B, H, W) or (B, H, W, 3), by name."""
    return answer(served, {IMAGE: images})


@torch.no_grad()
def logits(served: Served, images: Bytes) -> Floats:
    """Torch's logits (B, classes) for uint8 images, before any temperature."""
    served.eval()
    parts = [images[start : start + ROWS] for start in range(0, len(images), ROWS)]
    return np.concatenate([served.scores(torch.from_numpy(part.copy()))[0].numpy() for part in parts])


def run_onnx(path: Path, images: Bytes, output: str) -> Floats:
    """The file's ``output`` for uint8 images."""
    session = open_onnx(path)
    parts = [images[start : start + ROWS] for start in range(0, len(images), ROWS)]
    return np.concatenate([session.run([output], {IMAGE: part})[0] for part in parts])
