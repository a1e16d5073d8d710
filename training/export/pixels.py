"""Feeds an image's bytes directly into a quantised graph's first convolution, without a conversion to float."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper

LEVELS = 255
MOVES = ("Transpose", "Unsqueeze")
# The operators of `models.layers.pixels`: to float, to 0..1, minus the mean, divided by the deviation.
NORMALISATION = ("Cast", "Div", "Sub", "Div")


class Pixels(NamedTuple):
    """The uint8 tensor ``levels`` (B, C, H, W) and the float one ``values``, (levels - zero) / 255."""

    levels: str
    values: str
    zero: int


def fold_pixels(model: onnx.ModelProto, mean: Sequence[float], std: Sequence[float]) -> Pixels | None:
    """Fold the normalisation of pixels into the first convolutions of ``model``, except one ``zero`` for all channels.

    W' = W / s, b' = b + sum W (zero / 255 - m) / s. This is exact except for padding: it stood for the mean, and now
    stands for ``zero``, the nearest grey. If anything else reads the pixels, ``model`` is unchanged, and None returned.
    """
    graph = model.graph
    levels = graph.input[0].name
    while len(readers := _readers(graph, levels)) == 1 and readers[0].op_type in MOVES:
        levels = readers[0].output[0]
    chain = _chain(graph, levels)
    if not chain or not (layers := _convolutions(graph, chain[-1].output[0])):
        return None
    zero = round(LEVELS * float(np.mean(mean)))
    for layer in layers:
        _normalise_in(layer, graph, zero / LEVELS, np.array(mean), np.array(std))
    cast, values = chain[0], chain[-1].output[0]
    for node in chain[1:]:
        graph.node.remove(node)
    place = list(graph.node).index(cast) + 1
    for name, number in (("pixel_zero", zero), ("pixel_levels", LEVELS)):
        graph.initializer.append(numpy_helper.from_array(np.array(number, np.float32), name))
    centred = f"{values}_centred"
    graph.node.insert(place, helper.make_node("Sub", [cast.output[0], "pixel_zero"], [centred], name="pixels_centred"))
    graph.node.insert(place + 1, helper.make_node("Div", [centred, "pixel_levels"], [values], name="pixels"))
    _drop_unused(graph)
    return Pixels(levels, values, zero)


def enter_quantised(model: onnx.ModelProto, pixels: Pixels) -> None:
    """In the quantised ``model``, replace the quantised ``values`` by ``levels``, which are equal."""
    graph = model.graph
    (quantise,) = _readers(graph, pixels.values)
    for node in _readers(graph, quantise.output[0]):
        node.input[0] = pixels.levels
    dead = quantise
    while dead.output[0] != pixels.levels:
        above = next(node for node in graph.node if dead.input[0] in node.output)
        graph.node.remove(dead)
        dead = above
    _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _readers(graph: onnx.GraphProto, tensor: str) -> list[NodeProto]:
    return [node for node in graph.node if tensor in node.input]


def _chain(graph: onnx.GraphProto, tensor: str) -> list[NodeProto]:
    """The nodes that normalise ``tensor``, each read only by the next one; empty if there is no such chain."""
    chain: list[NodeProto] = []
    for kind in NORMALISATION:
        readers = _readers(graph, tensor)
        if len(readers) != 1 or readers[0].op_type != kind:
            return []
        chain.append(readers[0])
        tensor = readers[0].output[0]
    return chain


def _convolutions(graph: onnx.GraphProto, tensor: str) -> list[NodeProto]:
    """The readers of ``tensor`` if all are convolutions over all channels with weights of their own; else none."""
    readers = _readers(graph, tensor)
    uses = [name for node in graph.node for name in node.input]
    own = {tensor.name for tensor in graph.initializer if uses.count(tensor.name) == 1}
    fits = [node.op_type == "Conv" and _groups(node) == 1 and {*node.input[1:]} <= own for node in readers]
    return readers if all(fits) else []


def _groups(convolution: NodeProto) -> int:
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)


def _normalise_in(
    layer: NodeProto, graph: onnx.GraphProto, zero: float, mean: npt.NDArray[np.float64], std: npt.NDArray[np.float64]
) -> None:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weight = numpy_helper.to_array(tensors[layer.input[1]]).astype(np.float64)  # (O, C, k, k)
    shift = (weight * ((zero - mean) / std)[:, None, None]).sum((1, 2, 3))  # (O,)
    if len(layer.input) < 3:
        layer.input.append(f"{layer.input[1]}_shift")
        graph.initializer.append(numpy_helper.from_array(np.zeros(len(weight), np.float32), layer.input[2]))
        tensors[layer.input[2]] = graph.initializer[-1]
    bias = numpy_helper.to_array(tensors[layer.input[2]])
    _set(tensors[layer.input[1]], weight / std[:, None, None])
    _set(tensors[layer.input[2]], bias + shift)


def _set(tensor: onnx.TensorProto, values: npt.NDArray[np.float64]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
