"""Writing a served model as one ONNX file, and proving that it computes what torch does."""

import logging
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch

from training.data import Bytes
from training.errors import ExportError
from training.graph import Served

INPUT, OUTPUT = "image", "probabilities"
OPSET = 20
PARITY_LIMIT = 1e-5


def write_onnx(served: Served, shape: Sequence[int], path: Path) -> None:
    """Write ``served``, which takes uint8 rows of ``shape``: weights inside, any batch size, no word on the machine it was made on."""
    example = torch.zeros(2, *shape, dtype=torch.uint8)
    # The exporter logs a line for each torchvision operator that it cannot register; we have no torchvision.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch 2.13 copies a tree whose class its own pytree module has deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        program = torch.onnx.export(
            served.eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes for debugging, stack traces with file names above all; the rest stays."""
    del model.graph.value_info[:]
    _strip(model)
    _strip(model.graph)
    graph = model.graph
    _strip_all(graph.node, graph.input, graph.output, graph.initializer)
    for function in model.functions:
        _strip(function)
        _strip_all(function.node)


def _strip_all(*groups: Iterable[Any]) -> None:
    for group in groups:
        for message in group:
            _strip(message)


def _strip(message: Any) -> None:
    del message.metadata_props[:]
    message.ClearField("doc_string")


def parity(path: Path, served: Served, images: Bytes, batches: Sequence[int]) -> dict[str, float]:
    """The largest absolute difference between the file under ONNX Runtime and torch, for each batch size.

    Raises:
        ExportError: it is above 1e-5, or the shapes differ.
    """
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = {}
    for batch in batches:
        wanted = reference(served, images[:batch])
        (found,) = session.run([OUTPUT], {INPUT: images[:batch]})
        if found.shape != wanted.shape:
            raise ExportError(f"parity, batch {batch}: the graph answers {found.shape}, torch {wanted.shape}")
        difference = float(np.abs(found - wanted).max())
        if not difference <= PARITY_LIMIT:
            raise ExportError(f"parity, batch {batch}: differs from torch by {difference:.2e}, over {PARITY_LIMIT}")
        differences[str(batch)] = difference
    return differences


@torch.no_grad()
def reference(served: Served, images: Bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Torch's probabilities (B, classes) for uint8 images (B, H, W)."""
    answer: np.ndarray[Any, np.dtype[np.float32]] = served.eval()(torch.from_numpy(images.copy())).numpy()
    return answer
