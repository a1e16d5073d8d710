"""A graph of two inputs with free dimensions, whose answer tells each row from every other."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.engine.session import Session
from service.package import Graph, TensorSpec

Inputs = dict[str, NDArray[np.float32]]


def sum_session(folder: Path) -> Session:
    """A session that answers ``difference`` and ``total`` of ``left`` (N, any) and ``right`` (N, any)."""
    axis = numpy_helper.from_array(np.array([1]), "axis")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["left", "axis"], ["a"], keepdims=0),
            helper.make_node("ReduceSum", ["right", "axis"], ["b"], keepdims=0),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
            helper.make_node("Add", ["a", "b"], ["total"]),
        ],
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", f"any_{name}"]) for name in ("left", "right")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("difference", "total")],
        [axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "sums.onnx").write_bytes(model.SerializeToString())
    return Session(folder / "sums.onnx", _card(), intra_op=1)


def sum_inputs(rows: int, seed: int, left: int = 1, right: int = 1) -> Inputs:
    """Whole numbers no other seed has, in ``left`` and ``right`` columns."""
    numbers = np.random.default_rng(seed).integers(0, 1000, (rows, left + right)).astype("f4")
    return {"left": numbers[:, :left], "right": numbers[:, left:]}


def sum_answer(inputs: Inputs) -> dict[str, Any]:
    """What the graph must answer, by numpy."""
    left, right = inputs["left"].sum(1), inputs["right"].sum(1)
    return {"difference": left - right, "total": left + right}


def _card() -> Graph:
    return Graph(
        file="sums.onnx",
        inputs=tuple(TensorSpec(name=name, datatype="FP32", shape=(-1, -1)) for name in ("left", "right")),
        outputs=tuple(TensorSpec(name=name, datatype="FP32", shape=(-1,)) for name in ("difference", "total")),
        max_batch=8,
    )
