"""Packages that embed images: the tiny classifier, whose feature vector is what its one matrix takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from service.package import CARD
from tests.explaining_packages import write_golden
from tests.packages import SIDE, example, expected, replace_file, write_package

DIMENSION = SIDE * SIDE


def write_embedding_package(
    repository: Path, name: str = "vectors", version: int = 1, *, infinite_at: int | None = None, **changes: Any
) -> Path:
    """Write the package `write_package` does, whose card has an ``embedding``: an image's pixels in 0..1.

    A pixel as bright as ``infinite_at`` makes its vector infinite, and nothing else.
    """
    folder = write_package(repository, name, version, **changes)
    image = example(2)
    card = json.loads((folder / CARD).read_text())
    card["graph"]["outputs"].append({"name": "embedding", "datatype": "FP32", "shape": [-1, DIMENSION]})
    card["embedding"] = {"tensor": "embedding", "dimension": DIMENSION, "layer": "scores"}
    (folder / CARD).write_text(json.dumps(card))
    model = _with_vectors(folder / "model.onnx", infinite_at)
    replace_file(folder, "model.onnx", model.SerializeToString())
    outputs = {"probabilities": expected(image, version), "mean": image.mean((1, 2), dtype="f4")}
    write_golden(folder, {"image": image, **outputs, "embedding": vectors(image)})
    return folder


def vectors(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ``embedding`` must be, by numpy, (rows, 16)."""
    found: NDArray[np.float32] = (images.reshape(len(images), -1).astype("f4") / np.float32(255)).astype("f4")
    return found


def _with_vectors(path: Path, infinite_at: int | None) -> onnx.ModelProto:
    model = onnx.load(path)
    graph = model.graph
    graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", DIMENSION]))
    if infinite_at is None:
        graph.node.append(helper.make_node("Identity", ["rows"], ["embedding"]))
        return model
    limit = helper.make_tensor("infinite_at", TensorProto.FLOAT, [], [infinite_at])
    graph.initializer.extend([limit, helper.make_tensor("infinity", TensorProto.FLOAT, [], [np.inf])])
    graph.initializer.append(helper.make_tensor("flat_float", TensorProto.INT64, [2], [-1, DIMENSION]))
    for node in (
        helper.make_node("Reshape", ["float", "flat_float"], ["brightness"]),
        helper.make_node("Equal", ["brightness", "infinite_at"], ["is_infinite"]),
        helper.make_node("Where", ["is_infinite", "infinity", "rows"], ["embedding"]),
    ):
        graph.node.append(node)
    return model
