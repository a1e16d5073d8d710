"""Real packages, built in a moment: a linear classifier as an ONNX file, with its card, labels and golden example."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD, sha256

SIDE = 4
CLASSES = 3
MAX_BATCH = 8


def write_package(
    repository: Path,
    name: str = "tiny",
    version: int = 1,
    *,
    work: int = 0,
    fails_at: int | None = None,
    **changes: Any,
) -> Path:
    """Write ``<repository>/<name>/<version>/``; ``changes`` go into the card.

    Args:
        work: makes each run slower: the side of two matrices that are multiplied.
        fails_at: a pixel as bright as this makes the run of its whole batch fail.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(_graph(version, work, fails_at).SerializeToString())
    (folder / "labels.txt").write_text("zero\none\ntwo\n")
    image = example(2)
    np.savez(
        folder / "golden.npz", image=image, probabilities=expected(image, version), mean=image.mean((1, 2), dtype="f4")
    )
    card = _card(name, version)
    card["files"] = {file: sha256(folder / file) for file in ("model.onnx", "labels.txt", "golden.npz")}
    (folder / CARD).write_text(json.dumps({**card, **changes}, indent=1))
    return folder


def change_card(folder: Path, key: str, value: Any) -> None:
    """Set one key of a written card, ``graph.inputs.0.name`` for one inside; None takes it out."""
    card = json.loads((folder / CARD).read_text())
    *outer, last = key.split(".")
    inner = card
    for part in outer:
        inner = inner[int(part) if isinstance(inner, list) else part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    (folder / CARD).write_text(json.dumps(card))


def replace_file(folder: Path, file: str, content: bytes) -> None:
    """Give a file of a written package other content, and the card its checksum."""
    (folder / file).write_bytes(content)
    card = json.loads((folder / CARD).read_text())
    card["files"][file] = sha256(folder / file)
    (folder / CARD).write_text(json.dumps(card))


def example(rows: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random images for the tiny model without a white pixel, (rows, 4, 4)."""
    return np.random.default_rng(seed).integers(0, 255, (rows, SIDE, SIDE), dtype="u1")


def expected(images: NDArray[np.uint8], version: int = 1) -> NDArray[np.float32]:
    """What the tiny model must answer, by numpy: (rows, 3)."""
    logits = (images.reshape(len(images), -1).astype("f4") / 255) @ tiny_weights(version)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: NDArray[np.float32] = (powers / powers.sum(1, keepdims=True)).astype("f4")
    return probabilities


def assert_close(came: NDArray[Any], wanted: NDArray[np.float32]) -> None:
    """The same numbers, but for the last digits, in the same shape."""
    assert came.shape == wanted.shape
    np.testing.assert_allclose(came, wanted, rtol=1e-4, atol=1e-5)


def tiny_weights(version: int) -> NDArray[np.float32]:
    """Those of the tiny model of that version, (16, 3)."""
    return np.random.default_rng(version).normal(size=(SIDE * SIDE, CLASSES)).astype("f4")


def _graph(version: int, work: int, fails_at: int | None) -> onnx.ModelProto:
    constants: dict[str, Any] = {
        "scale": np.float32(255),
        "flat": np.array([-1, SIDE * SIDE]),
        "weights": tiny_weights(version),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["float", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["soft"], axis=1),
    ]
    # What is added to the answer is always nothing: it costs time, or fails.
    added = ["soft"]
    if work:
        constants |= {"big": np.ones((work, work), "f4"), "nothing": np.float32(0)}
        nodes += [
            helper.make_node("ReduceMean", ["soft"], ["seed"], keepdims=0),
            helper.make_node("Mul", ["big", "seed"], ["left"]),
            helper.make_node("MatMul", ["left", "big"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["product_mean"], keepdims=0),
            helper.make_node("Mul", ["product_mean", "nothing"], ["worked"]),
        ]
        added.append("worked")
    if fails_at is not None:
        constants["allowed"] = np.zeros(fails_at, "f4")
        nodes += [
            helper.make_node("ReduceMax", ["float"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["allowed", "index"], ["survived"]),
        ]
        added.append("survived")
    graph = helper.make_graph(
        [*nodes, helper.make_node("Sum", added, ["probabilities"])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES]),
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["N"]),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _card(name: str, version: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "task": "classify",
        "title": "Tiny linear classifier",
        "lecture": "I2DL II",
        "description": "For tests.",
        "graph": {
            "file": "model.onnx",
            "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, SIDE, SIDE]}],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, CLASSES]},
                {"name": "mean", "datatype": "FP32", "shape": [-1]},
            ],
            "max_batch": MAX_BATCH,
        },
        "preprocessing": {"tensor": "image", "colour": "grey", "height": SIDE, "width": SIDE},
        "classes": {"tensor": "probabilities", "labels": "labels.txt"},
        "parameters": {"top_k": {"default": 2, "minimum": 1, "maximum": CLASSES}},
        "golden": {"file": "golden.npz", "tolerance": 1e-3},
        "provenance": {
            "recipe": {},
            "seed": version,
            "git_commit": "none",
            "created": "2026-11-21",
            "libraries": {},
            "dataset": {"name": "none", "licence": "none", "source": "none", "files": {}, "splits": {"test": 1}},
            "metrics": {},
            "parity": {},
            "parameters": SIDE * SIDE * CLASSES,
            "macs": SIDE * SIDE * CLASSES,
        },
    }
