"""A classifier of texts, built in a moment: each byte speaks for some labels, as a package, and in numpy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD, sha256

LABELS = ("alpha", "beta", "gamma", "delta")
MAX_BATCH = 8
MAX_BYTES = 100
MULTIPLE = 16
TOP_K = 3


def write_text_package(
    repository: Path, name: str = "letters", version: int = 1, *, fails_at: str = "", **changes: Any
) -> Path:
    """Write ``<repository>/<name>/<version>/``; ``changes`` go into the card.

    A character ``fails_at``, of one byte, makes the run of its whole batch fail.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(_graph(version, fails_at).SerializeToString())
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    examples = ["one", "two and a half"]
    rows = np.zeros((len(examples), MULTIPLE), "u1")
    for row, text in zip(rows, examples, strict=True):
        row[: len(text)] = list(text.encode())
    answers = np.stack([text_probabilities(text, version) for text in examples])
    np.savez(folder / "golden.npz", text=rows, probabilities=answers)
    files = {file: sha256(folder / file) for file in ("model.onnx", "labels.txt", "golden.npz")}
    (folder / CARD).write_text(json.dumps({**_card(name, version), "files": files, **changes}, indent=1))
    return folder


def text_probabilities(text: str, version: int = 1) -> NDArray[np.float32]:
    """What the model must answer, by numpy: (labels,)."""
    logits = _speaks(version)[list(text.encode())].mean(0)
    powers = np.exp(logits - logits.max())
    found: NDArray[np.float32] = (powers / powers.sum()).astype("f4")
    return found


def _speaks(version: int) -> NDArray[np.float32]:
    """For which labels each byte speaks, (256, labels); what fills a text up, for none."""
    table = np.random.default_rng(version).normal(scale=5, size=(256, len(LABELS))).astype("f4")
    table[0] = 0
    return table


def _graph(version: int, fails_at: str) -> onnx.ModelProto:
    constants: dict[str, Any] = {"speaks": _speaks(version), "along": np.array([1])}
    nodes = [
        helper.make_node("Cast", ["text"], ["bytes"], to=TensorProto.INT64),
        helper.make_node("Gather", ["speaks", "bytes"], ["each"]),
        helper.make_node("ReduceSum", ["each", "along"], ["all"], keepdims=0),
        helper.make_node("Cast", ["text"], ["is_byte"], to=TensorProto.BOOL),
        helper.make_node("Cast", ["is_byte"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "along"], ["length"], keepdims=1),
        helper.make_node("Div", ["all", "length"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["soft"], axis=1),
    ]
    added = ["soft"]
    if fails_at:  # a byte as high as this is outside the table, from which else only noughts are taken
        constants |= {"allowed": np.zeros(ord(fails_at), "f4")}
        nodes += [
            helper.make_node("ReduceMax", ["bytes"], ["highest"], keepdims=0),
            helper.make_node("Gather", ["allowed", "highest"], ["survived"]),
        ]
        added.append("survived")
    graph = helper.make_graph(
        [*nodes, helper.make_node("Sum", added, ["probabilities"])],
        "letters",
        [helper.make_tensor_value_info("text", TensorProto.UINT8, ["N", "T"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _card(name: str, version: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "task": "classify-text",
        "title": "Bytes that speak for labels",
        "lecture": "I2DL XI.2",
        "description": "For tests.",
        "graph": {
            "file": "model.onnx",
            "inputs": [{"name": "text", "datatype": "UINT8", "shape": [-1, -1]}],
            "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, len(LABELS)]}],
            "max_batch": MAX_BATCH,
        },
        "text": {"tensor": "text", "max_bytes": MAX_BYTES, "multiple": MULTIPLE},
        "classes": {"tensor": "probabilities", "labels": "labels.txt"},
        "parameters": {"top_k": {"default": TOP_K, "minimum": 1, "maximum": len(LABELS)}},
        "golden": {"file": "golden.npz", "tolerance": 1e-3},
        "provenance": {
            "recipe": {},
            "seed": version,
            "git_commit": "none",
            "created": "2026-11-21",
            "libraries": {},
            "dataset": None,
            "metrics": {},
            "parity": {},
            "parameters": 256 * len(LABELS),
            "macs": 256 * len(LABELS),
        },
    }
