"""A loop that counts: as many steps as a caller wants, each as large and as slow as the test wants."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import helper

from tests.step_packages.writing import graph_file, write_loop

MAX_STEPS = 1_000_000
FLOOD = 1 << 18  # numbers, 1 MiB, in each emission of `flood`


def write_ticks(repository: Path, name: str, *, size: int, work: int = 0) -> Path:
    """Emits ``count`` (rows, size), FP32: the number of the step everywhere. ``work`` is in products of size x size."""
    products = ["count_before", *(f"product{i}" for i in range(work))]
    nodes = [
        *(helper.make_node("MatMul", [given, "zeros"], [made]) for given, made in pairwise(products)),
        helper.make_node("Add", ["count_before", "one"], ["more"]),
        helper.make_node("Add", ["more", products[-1]] if work else ["more", "nothing"], ["count"]),
    ]
    zeros = np.zeros((size, size) if work else (1, 1), "f4")
    constants = {"one": np.float32(1), "nothing": np.float32(0), "zeros": zeros}
    shape = [-1, size]
    said, file = graph_file(
        "model.onnx", nodes, constants, [("count_before", "FP32", shape)], [("count", "FP32", shape)], 4
    )
    loop = {
        "step": said,
        "sources": {"count_before": {"kind": "state", "output": "count", "initial": {"kind": "request", "default": 0}}},
        "emit": ["count"],
        "steps": {"default": 3, "minimum": 1, "maximum": MAX_STEPS},
    }
    before = np.zeros((1, size), "f4")
    golden = {"step.count_before": before, "step.count": before + 1}
    return write_loop(repository, name, 1, {"model.onnx": file}, loop, golden, {})
