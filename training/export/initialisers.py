"""Reads the weights of an exported graph by their names in torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, NodeProto, TensorProto, numpy_helper
from onnx.checker import ValidationError

from models.weights import WeightsError
from training.export.onnx_file import Floats

QUANTISED = ("DequantizeLinear", "QLinearConv", "QLinearMatMul")
# What onnx raises for a broken file; TypeError because a name that is not UTF-8 is read as bytes.
BROKEN = (OSError, DecodeError, ValidationError, ValueError, TypeError)
# What the exporter may put between a layer and the addition of its bias.
BETWEEN = ("ReduceMean", "Squeeze")


@dataclass(frozen=True)
class Initialisers:
    """The weights of a graph, in 32 bits and in torch's shapes.

    ``named`` has weights by their parameter's name, ``unnamed`` those whose names the exporter has lost because it
    transposed or reshaped them.
    """

    named: Mapping[str, Floats]
    unnamed: Sequence[Floats]

    def fitted(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Floats]:
        """All named weights, and each unnamed weight whose shape fits exactly one missing parameter of ``shapes``."""
        missing = {name: shape for name, shape in shapes.items() if name not in self.named}
        found = dict(self.named)
        for name, shape in missing.items():
            candidates = [array for array in self.unnamed if array.shape == shape]
            if len(candidates) == 1 and list(missing.values()).count(shape) == 1:
                found[name] = candidates[0]
        return found


def read_initialisers(path: Path) -> Initialisers:
    """The weights of the ONNX file ``path``.

    Raises:
        WeightsError: it is not an ONNX file, or keeps its weights in another file or in 8 bits.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)  # checks that no node lacks an input, and that there is no cycle
        graph = model.graph
        if any(node.op_type in QUANTISED for node in graph.node):
            raise WeightsError(f"{path}: its weights are quantised to 8 bits; give a graph with float weights")
        return _initialisers(graph)
    except BROKEN as error:
        raise WeightsError(f"{path}: is not an ONNX file that holds its weights") from error


def _initialisers(graph: GraphProto) -> Initialisers:
    values = _floats(graph)
    named = {name: value for name, value in values.items() if "." in name}
    unnamed = dict(_unnamed(graph, values))
    for weight, layer in _beside_their_bias(graph, named):
        if layer in unnamed:
            named[weight] = unnamed.pop(layer)
    return Initialisers(named, tuple(unnamed.values()))


def _floats(graph: GraphProto) -> dict[str, Floats]:
    """The float initialisers by name; those stored in 16 bits have the name of their Cast's output."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    stored = {
        tensor.name: numpy_helper.to_array(_inside(tensor)) for tensor in graph.initializer if tensor.data_type in kinds
    }
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            stored[node.output[0]] = stored.pop(node.input[0])
    return {name: value.astype(np.float32) for name, value in stored.items()}


def _inside(tensor: TensorProto) -> TensorProto:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError(f"{tensor.name} is in another file")
    return tensor


def _unnamed(graph: GraphProto, values: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
    """Each weight without a parameter's name, in torch's shape, with the output of its layer."""
    for node in graph.node:
        weight = values.get(node.input[1]) if node.op_type in ("Conv", "MatMul") else None
        if weight is None or "." in node.input[1]:
            continue
        if node.op_type == "MatMul" and weight.ndim == 2:
            yield node.output[0], weight.T
        elif node.op_type == "Conv" and weight.shape[2:] == (1, 1):  # a linear layer applied to every position
            yield node.output[0], weight[:, :, 0, 0]


def _beside_their_bias(graph: GraphProto, named: Mapping[str, Floats]) -> Iterator[tuple[str, str]]:
    """For each bias that a separate node adds: the name of the layer's weight, and the output of the layer."""
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        biases = [name for name in node.input if name in named and name.endswith(".bias")]
        if node.op_type == "Add" and len(biases) == 1:
            (layer,) = (name for name in node.input if name != biases[0])
            yield f"{biases[0].removesuffix('.bias')}.weight", _layer(makers, layer)


def _layer(makers: Mapping[str, NodeProto], output: str) -> str:
    """The output of the layer that ``output`` comes from, through the nodes of `BETWEEN`."""
    while (node := makers.get(output)) is not None and node.op_type in BETWEEN:
        output = node.input[0]
    return output
