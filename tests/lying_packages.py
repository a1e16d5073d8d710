"""Packages whose card says that rows may share a run, and whose graph answers other rows than came."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from service.package import CARD, sha256
from tests.packages import replace_file

MAX_BATCH = 8


def write_carded(repository: Path, model: ModelProto, name: str, max_batch: int = MAX_BATCH) -> Path:
    """A package of a graph from ``x`` (N, 4) to ``y`` (N, 4), whose card says how many rows a run may have."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    x, y = ({"name": name, "datatype": "FP32", "shape": [-1, 4]} for name in "xy")
    graph = {"file": "model.onnx", "inputs": [x], "outputs": [y], "max_batch": max_batch}
    files = {"model.onnx": sha256(folder / "model.onnx")}
    (folder / CARD).write_text(
        json.dumps({"name": name, "version": 1, "task": "tensor", "graph": graph, "files": files})
    )
    return folder


def drop_rows(folder: Path, file: str, output: str, by: str, over: float, operator: str = "Slice") -> None:
    """Have a graph of a written package answer fewer rows of ``output``.

    For each row whose first number of ``by`` is over ``over`` one is missing: with `Slice` at the end, with `Compress`
    that one. Where no number is so large, all is as it was.
    """
    model = onnx.load(folder / file)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["all_rows" if name == output else name for name in node.output]
    graph.node.extend(
        [
            helper.make_node("Cast", [by], ["by_float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["by_float", "by_row"], ["by_rows"]),
            helper.make_node("Gather", ["by_rows", "first_number"], ["by_first"], axis=1),
            helper.make_node("Greater", ["by_first", "by_limit"], ["is_over"]),
            helper.make_node("Not", ["is_over"], ["is_kept"]),
            helper.make_node("Cast", ["is_kept"], ["counted"], to=TensorProto.INT64),
            helper.make_node("ReduceSum", ["counted"], ["kept"], keepdims=1),
            helper.make_node("Slice", ["all_rows", "from_first", "kept"], [output])
            if operator == "Slice"
            else helper.make_node("Compress", ["all_rows", "is_kept"], [output], axis=0),
        ]
    )
    graph.initializer.extend(
        [
            helper.make_tensor("by_row", TensorProto.INT64, [2], [0, -1]),
            helper.make_tensor("first_number", TensorProto.INT64, [], [0]),
            helper.make_tensor("from_first", TensorProto.INT64, [1], [0]),
            helper.make_tensor("by_limit", TensorProto.FLOAT, [], [over]),
        ]
    )
    replace_file(folder, file, model.SerializeToString())


def over_half(rows: Any) -> Any:
    """What `tests.bare_packages.compressor` answers."""
    return rows[rows[:, 0] > 0.5]


def numbered(count: int, seed: int = 0) -> Any:
    """Rows no other seed has, (count, 4), about half of them over a half."""
    rows = np.random.default_rng(seed).random((count, 4)).astype("f4")
    rows[:, 1] = seed
    return rows
