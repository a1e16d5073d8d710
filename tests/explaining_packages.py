"""Packages that say what they looked at: the tiny classifier with class activation maps and a graph beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD
from tests.packages import CLASSES, SIDE, example, expected, replace_file, tiny_weights, write_package

LAYERS = ("conv1", "conv2", "conv3")
STRONGEST = 2
PART_BATCH = 4
QUADRANTS = np.kron(np.eye(4).reshape(4, 2, 2), np.ones((2, 2))).astype("f4")  # (4, 4, 4): a mask of each


def write_explaining_package(
    repository: Path,
    name: str = "seeing",
    version: int = 1,
    *,
    cam: bool = True,
    deconv: bool = True,
    fails_at: int | None = None,
    **changes: Any,
) -> Path:
    """Write the package `write_package` does, which can explain itself.

    Its maps, (rows, 3, 2, 2), add up to the logits, as class activation maps do. Its graph ``deconv`` takes the four
    quadrants of the image for a layer's maps, the layer's index + 1 times as bright, and answers the two brightest.

    Args:
        cam: whether it has the first.
        deconv: whether it has the second.
        fails_at: a pixel as bright as this makes a run of ``deconv`` fail.
    """
    folder = write_package(repository, name, version, **changes)
    card = json.loads((folder / CARD).read_text())
    image = example(2)
    golden = {"image": image, "probabilities": expected(image, version), "mean": image.mean((1, 2), dtype="f4")}
    card["explain"] = {}
    if cam:
        card["explain"]["cam"] = {"tensor": "cam"}
        card["graph"]["outputs"].append({"name": "cam", "datatype": "FP32", "shape": [-1, CLASSES, 2, 2]})
        golden["cam"] = activation_maps(image, version)
    if deconv:
        card["explain"]["deconv"] = {"graph": _description(), "layers": list(LAYERS)}
        card["files"]["deconv.onnx"] = ""
        layer = np.array([0, 2])
        answers = {"image": image, "layer": layer, **projected(image, layer)}
        golden |= {f"deconv.{key}": array for key, array in answers.items()}
    (folder / CARD).write_text(json.dumps(card))
    if cam:
        replace_file(folder, "model.onnx", _with_maps(folder / "model.onnx", version).SerializeToString())
    if deconv:
        replace_file(folder, "deconv.onnx", _deconv(fails_at).SerializeToString())
    write_golden(folder, golden)
    return folder


def write_golden(folder: Path, golden: dict[str, Any]) -> None:
    """Give a written package another golden example."""
    np.savez(folder / "golden.npz", **golden)
    replace_file(folder, "golden.npz", (folder / "golden.npz").read_bytes())


def activation_maps(images: NDArray[np.uint8], version: int = 1) -> NDArray[np.float32]:
    """What ``cam`` must be, by numpy: what each 2x2 pixels bring to each class's logit, (rows, 3, 2, 2)."""
    brought = (images.astype("f4") / 255)[:, None] * _class_weights(version)
    maps: NDArray[np.float32] = brought.reshape(len(images), CLASSES, 2, 2, 2, 2).sum((3, 5))
    return maps


def projected(images: NDArray[np.uint8], layer: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What ``deconv`` must answer, by numpy."""
    bright = (images.astype("f4") / 255) * (layer + 1).astype("f4")[:, None, None]
    quadrants = bright[:, None] * QUADRANTS  # (rows, 4, 4, 4)
    peaks = quadrants.max((2, 3))
    maps = np.argsort(-peaks, 1, kind="stable")[:, :STRONGEST]
    return {
        "reconstructions": np.take_along_axis(quadrants, maps[:, :, None, None], 1),
        "maps": maps,
        "strengths": np.take_along_axis(peaks, maps, 1),
    }


def _class_weights(version: int) -> NDArray[np.float32]:
    return tiny_weights(version).T.reshape(CLASSES, SIDE, SIDE)


def _with_maps(path: Path, version: int) -> onnx.ModelProto:
    model = onnx.load(path)
    graph = model.graph
    constants = {
        "one": np.array([1]),
        "class_weights": _class_weights(version),
        "block": np.float32(4),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items())
    for node in (
        helper.make_node("Unsqueeze", ["scaled", "one"], ["channel"]),
        helper.make_node("Mul", ["channel", "class_weights"], ["brought"]),
        helper.make_node("AveragePool", ["brought"], ["averages"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Mul", ["averages", "block"], ["cam"]),
    ):
        graph.node.append(node)
    graph.output.append(helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["N", CLASSES, 2, 2]))
    return model


def _deconv(fails_at: int | None) -> onnx.ModelProto:
    constants: dict[str, Any] = {
        "scale": np.float32(255),
        "next": np.float32(1),
        "quadrants": QUADRANTS,
        "at_1": np.array([1]),
        "at_1_2": np.array([1, 2]),
        "k": np.array([STRONGEST]),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["scaled"]),
        helper.make_node("Cast", ["layer"], ["index"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["index", "next"], ["gain"]),
        helper.make_node("Unsqueeze", ["gain", "at_1_2"], ["gains"]),
        helper.make_node("Mul", ["scaled", "gains"], ["bright"]),
        helper.make_node("Unsqueeze", ["bright", "at_1"], ["channel"]),
        helper.make_node("Mul", ["channel", "quadrants"], ["masked"]),
        helper.make_node("ReduceMax", ["masked"], ["peaks"], axes=[2, 3], keepdims=0),
        helper.make_node("TopK", ["peaks", "k"], ["strengths_", "maps"]),
        helper.make_node("Gather", ["quadrants", "maps"], ["masks"]),
        helper.make_node("Mul", ["channel", "masks"], ["reconstructions"]),
    ]
    added = ["strengths_"]
    if fails_at is not None:  # it adds nothing, or fails
        constants["allowed"] = np.zeros(fails_at, "f4")
        nodes += [
            helper.make_node("ReduceMax", ["float"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["allowed", "place"], ["survived"]),
        ]
        added.append("survived")
    graph = helper.make_graph(
        [*nodes, helper.make_node("Sum", added, ["strengths"])],
        "deconv",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE]),
            helper.make_tensor_value_info("layer", TensorProto.INT64, ["N"]),
        ],
        [
            helper.make_tensor_value_info("reconstructions", TensorProto.FLOAT, ["N", STRONGEST, SIDE, SIDE]),
            helper.make_tensor_value_info("maps", TensorProto.INT64, ["N", STRONGEST]),
            helper.make_tensor_value_info("strengths", TensorProto.FLOAT, ["N", STRONGEST]),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _description() -> dict[str, Any]:
    return {
        "file": "deconv.onnx",
        "inputs": [
            {"name": "image", "datatype": "UINT8", "shape": [-1, SIDE, SIDE]},
            {"name": "layer", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "reconstructions", "datatype": "FP32", "shape": [-1, STRONGEST, SIDE, SIDE]},
            {"name": "maps", "datatype": "INT64", "shape": [-1, STRONGEST]},
            {"name": "strengths", "datatype": "FP32", "shape": [-1, STRONGEST]},
        ],
        "max_batch": PART_BATCH,
    }
