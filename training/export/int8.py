"""Static quantisation to 8 bits (Jacob et al. 2018, arXiv:1712.05877), by ONNX Runtime's quantiser."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from training.data import Bytes
from training.export.onnx_file import save, strip
from training.export.pixels import LEVELS, Pixels, enter_quantised, fold_pixels

IMAGES = 512
ROWS = 16
# The operators that are run in 8 bits. The rest, normalisation of the pixels and softmax, stays in 32.
OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "Concat", "Relu", "Pad"]
LAYERS = ("Conv", "Gemm", "MatMul")


def quantise(model: onnx.ModelProto, images: Bytes, path: Path, mean: Sequence[float], std: Sequence[float]) -> None:
    """Write ``model``, whose one input is images, with 8-bit weights, scaled by output channel, and 8-bit activations.

    An activation's range is its range on ``images``. The pixels, which the model normalises by ``mean`` and ``std``,
    enter as the 8-bit numbers they are. The last layer before each output, and what follows it, stay in 32 bits.
    Weights use 7 of their 8 bits: without VNNI, x86 saturates the sum of two products of 8-bit ones.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    pixels = fold_pixels(whole, mean, std)
    with TemporaryDirectory() as folder, _quiet():
        found = Path(folder) / "int8.onnx"
        quantize_static(
            _named(whole),
            found,
            _Images(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            nodes_to_exclude=_head(whole),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=_as_they_come(pixels) if pixels else {},
        )
        quantised = onnx.load(found)
    if pixels:
        enter_quantised(quantised, pixels)
    strip(quantised)
    save(quantised, path)


def _as_they_come(pixels: Pixels) -> dict[str, Any]:
    scale = {"scale": np.array(1 / LEVELS, np.float32), "zero_point": np.array(pixels.zero, np.uint8)}
    return {"TensorQuantOverrides": {pixels.values: [{"quant_type": QuantType.QUInt8, **scale}]}}


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, images: Bytes) -> None:
        self._name = name
        self._batches = iter([images[start : start + ROWS] for start in range(0, len(images), ROWS)])

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with shapes, and marked as pre-processed: torch's export has already simplified it."""
    shaped = onnx.shape_inference.infer_shapes(model)
    onnx.helper.set_model_props(shaped, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return shaped


def _head(model: onnx.ModelProto) -> list[str]:
    """The names of the nodes from the last layer before each output to the output."""
    makers = {output: node for node in model.graph.node for output in node.output}
    found, waiting = set(), [output.name for output in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found.add(node.name)
        if node.op_type not in LAYERS:
            waiting += node.input
    return sorted(found)


def some(images: Bytes, seed: int) -> Bytes:
    """At most `IMAGES` of ``images``, chosen by ``seed``, in order."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:IMAGES]
    return images[np.sort(chosen)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the quantiser's hints, which it logs to the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
