"""Packages without a card: `model.onnx` alone, as people bring their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

Dims = Sequence[int | str | None]
OFFSET = 10.0


def write_bare(repository: Path, model: ModelProto, name: str = "bare", version: int = 1) -> Path:
    """Write ``<repository>/<name>/<version>/model.onnx``."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def adder(shape: Dims = ("N", 4), datatype: int = TensorProto.FLOAT, amount: float = OFFSET) -> ModelProto:
    """``y = x + amount``, both of that shape."""
    constant = helper.make_tensor("amount", datatype, [], [amount])
    return graph([helper.make_node("Add", ["x", "amount"], ["y"])], shape, shape, datatype, [constant])


def detector() -> ModelProto:
    """The numbers over 0.5 and how many boxes they are: rows come in, another number of rows goes out."""
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    nodes = [
        helper.make_node("Greater", ["x", "half"], ["found"]),
        helper.make_node("NonZero", ["found"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("Cast", ["rows"], ["y"], to=TensorProto.FLOAT),
    ]
    return graph(nodes, ("N", 4), ("boxes", 2), TensorProto.FLOAT, [half])


def not_for_zeros() -> ModelProto:
    """Takes images of any size, but none of 1 x 1: its kernel is larger."""
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 1, 3, 3], np.ones(9))
    node = helper.make_node("Conv", ["x", "kernel"], ["y"])
    return graph([node], ("N", 1, "H", "W"), ("N", 1, "h", "w"), TensorProto.FLOAT, [kernel])


def external(location: str) -> ModelProto:
    """``y = x + w`` of four numbers, ``w`` in the file at ``location``."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return graph([helper.make_node("Add", ["x", "w"], ["y"])], ("N", 4), ("N", 4), TensorProto.FLOAT, [tensor])


def endless() -> ModelProto:
    """Gives ``x`` back after more rounds than can ever be run."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Identity", ["came"], ["gone"])],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("came", TensorProto.FLOAT, ("N", 4)),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("gone", TensorProto.FLOAT, ("N", 4)),
        ],
    )
    constants = [
        helper.make_tensor("rounds", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("going_", TensorProto.BOOL, [], [True]),
    ]
    node = helper.make_node("Loop", ["rounds", "going_", "x"], ["y"], body=body)
    return graph([node], ("N", 4), ("N", 4), TensorProto.FLOAT, constants)


def graph(nodes: Sequence[Any], came: Dims | None, goes: Dims | None, datatype: int, constants: Any = ()) -> ModelProto:
    """A graph from ``x`` to ``y``."""
    made = helper.make_graph(
        list(nodes),
        "bare",
        [helper.make_tensor_value_info("x", datatype, came)],
        [helper.make_tensor_value_info("y", datatype, goes)],
        list(constants),
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
