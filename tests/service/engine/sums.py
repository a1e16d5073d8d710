"""A package of two inputs with free dimensions, whose answer tells each row from every other."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.engine.model import Model
from service.engine.session import Session
from service.package import CARD, read_package, sha256

Inputs = dict[str, NDArray[np.float32]]
MAX_BATCH = 8


def write_sums(
    repository: Path, name: str = "sums", *, max_batch: int = MAX_BATCH, first: int = -1, **changes: Any
) -> Path:
    """A package that answers ``difference`` and ``total`` of ``left`` (N, any) and ``right`` (N, any).

    N is ``first``, -1 for any.
    """
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(_graph(first).SerializeToString())
    graph = {
        "file": "model.onnx",
        "inputs": [{"name": key, "datatype": "FP32", "shape": [first, -1]} for key in ("left", "right")],
        "outputs": [{"name": key, "datatype": "FP32", "shape": [first]} for key in ("difference", "total")],
        "max_batch": max_batch,
    }
    files = {"model.onnx": sha256(folder / "model.onnx")}
    card = {"name": name, "version": 1, "task": "tensor", "graph": graph, "files": files, **changes}
    (folder / CARD).write_text(json.dumps(card))
    return folder


def sum_model(repository: Path, **changes: Any) -> Model:
    """The package of `write_sums`, loaded."""
    return Model(read_package(write_sums(repository, **changes)), partial(Session, intra_op=1))


def sum_inputs(rows: int, seed: int, left: int = 1, right: int = 1) -> Inputs:
    """Whole numbers no other seed has, in ``left`` and ``right`` columns."""
    numbers = np.random.default_rng(seed).integers(0, 1000, (rows, left + right)).astype("f4")
    return {"left": numbers[:, :left], "right": numbers[:, left:]}


def sum_answer(inputs: Inputs) -> dict[str, Any]:
    """What the graph must answer, by numpy."""
    left, right = inputs["left"].sum(1), inputs["right"].sum(1)
    return {"difference": left - right, "total": left + right}


def _graph(first: int) -> Any:
    rows = "N" if first == -1 else first
    axis = numpy_helper.from_array(np.array([1]), "axis")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["left", "axis"], ["a"], keepdims=0),
            helper.make_node("ReduceSum", ["right", "axis"], ["b"], keepdims=0),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
            helper.make_node("Add", ["a", "b"], ["total"]),
        ],
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, f"any_{name}"]) for name in ("left", "right")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows]) for name in ("difference", "total")],
        [axis],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
