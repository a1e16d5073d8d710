"""Weights stored in 16 bits: half the bytes on disk, cast to 32 bits once, when a session loads the file."""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from training.errors import ExportError

# Smaller tensors aren't worth a node.
LEAST = 256
SUFFIX = "_float16"


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Round every matrix and kernel of ``model`` to the nearest number of 16 bits; vectors, biases above all, stay.

    Raises:
        ExportError: one is too large for 16 bits (above 65,504), or is no number.
    """
    for name, tensor in _matrices(model):
        rounded = tensor.half().to(tensor.dtype)
        if not rounded.isfinite().all():
            raise ExportError(f"{name} holds {tensor.abs().max():.3g}, which is no float16; try --weights-as float32")
        tensor.copy_(rounded)


def store_float16(model: onnx.ModelProto) -> None:
    """Store those initialisers that lose nothing by it in 16 bits, each behind a Cast that is folded at load."""
    graph = model.graph
    large = [
        tensor
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LEAST
    ]
    casts = []
    for tensor in large:
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
        casts.append(helper.make_node("Cast", [name + SUFFIX], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _matrices(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim >= 2:
            yield name, tensor
