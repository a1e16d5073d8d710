"""Weights stored in 16 bits: half the bytes on disk, cast to 32 bits once, when a session loads the file."""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from training.errors import ExportError

# Tensors with fewer values are not worth another node.
LEAST = 256
SUFFIX = "_float16"


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Round every matrix and kernel of ``model`` to the nearest float16; vectors, such as biases, are left unchanged.

    Raises:
        ExportError: a value is too large for float16 (above 65,504), or is not finite.
    """
    for name, tensor in _matrices(model):
        rounded = tensor.half().to(tensor.dtype)
        if not rounded.isfinite().all():
            raise ExportError(
                f"{name} has a value of {tensor.abs().max():.3g}; float16 allows up to 65,504: try --weights-as float32"
            )
        tensor.copy_(rounded)


def store_float16(model: onnx.ModelProto) -> None:
    """Store the initialisers that lose nothing by it in 16 bits, each followed by a Cast that is folded at load."""
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
