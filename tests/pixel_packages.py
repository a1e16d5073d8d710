"""A generator whose pixels are chosen by the engine, one at a step: each is bright with the same probability."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD, sha256

HEIGHT, WIDTH = 4, 6
PIXELS = HEIGHT * WIDTH
BRIGHT = 0.3
MAX_BATCH = 8


def write_pixel_package(repository: Path, name: str = "pixels", version: int = 1, **changes: Any) -> Path:
    """Write ``<repository>/<name>/<version>/``; ``changes`` go into the card."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "step.onnx").write_bytes(_graph().SerializeToString())
    inputs = {"pixel": np.array([-1, 1]), "place": np.array([0, 3]), "canvas": np.zeros((2, HEIGHT, WIDTH), "u1")}
    outputs = ["scores", "next_place", "next_canvas"]
    found = ort.InferenceSession(folder / "step.onnx").run(outputs, inputs)
    golden = inputs | dict(zip(outputs, found, strict=True))
    np.savez(folder / "golden.npz", **{f"step.{key}": value for key, value in golden.items()})
    files = {file: sha256(folder / file) for file in ("step.onnx", "golden.npz")}
    (folder / CARD).write_text(json.dumps({**_card(name, version), "files": files, **changes}, indent=1))
    return folder


def _graph() -> onnx.ModelProto:
    """A step writes the pixel that was chosen last before the place, and gives the scores of the next."""

    def info(name: str, datatype: int, *sides: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, datatype, ["N", *sides])

    constants: dict[str, Any] = {
        "places": np.arange(1, PIXELS + 1).reshape(1, HEIGHT, WIDTH),
        "sides": np.array([1, 2]),
        "one": np.int64(1),
        "white": np.int64(255),
        "log_probabilities": np.log([[1 - BRIGHT, BRIGHT]]).astype("f4"),
        "nothing": np.float32(0),
        "column": np.array([1]),
    }
    nodes = [
        helper.make_node("Add", ["place", "one"], ["next_place"]),
        helper.make_node("Unsqueeze", ["place", "sides"], ["here"]),
        helper.make_node("Equal", ["here", "places"], ["is_here"]),
        helper.make_node("Mul", ["pixel", "white"], ["level"]),
        helper.make_node("Cast", ["level"], ["bright"], to=TensorProto.UINT8),
        helper.make_node("Unsqueeze", ["bright", "sides"], ["brightness"]),
        helper.make_node("Where", ["is_here", "brightness", "canvas"], ["next_canvas"]),
        helper.make_node("Cast", ["place"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "nothing"], ["zeros"]),
        helper.make_node("Unsqueeze", ["zeros", "column"], ["rows"]),
        helper.make_node("Add", ["rows", "log_probabilities"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pixels",
        [
            info("pixel", TensorProto.INT64),
            info("place", TensorProto.INT64),
            info("canvas", TensorProto.UINT8, HEIGHT, WIDTH),
        ],
        [
            info("scores", TensorProto.FLOAT, 2),
            info("next_place", TensorProto.INT64),
            info("next_canvas", TensorProto.UINT8, HEIGHT, WIDTH),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _card(name: str, version: int) -> dict[str, Any]:
    def tensor(name: str, datatype: str, *sides: int) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [-1, *sides]}

    def state(output: str) -> dict[str, Any]:
        return {"kind": "state", "output": output, "initial": {"kind": "fill", "value": 0}}

    return {
        "name": name,
        "version": version,
        "task": "generate",
        "title": "Bright and dark pixels",
        "lecture": "DL 23",
        "description": "For tests.",
        "loop": {
            "step": {
                "file": "step.onnx",
                "inputs": [
                    tensor("pixel", "INT64"),
                    tensor("place", "INT64"),
                    tensor("canvas", "UINT8", HEIGHT, WIDTH),
                ],
                "outputs": [
                    tensor("scores", "FP32", 2),
                    tensor("next_place", "INT64"),
                    tensor("next_canvas", "UINT8", HEIGHT, WIDTH),
                ],
                "max_batch": MAX_BATCH,
            },
            "sources": {
                "pixel": {"kind": "chosen", "initial": {"kind": "fill", "value": 0}},
                "place": state("next_place"),
                "canvas": state("next_canvas"),
            },
            "emit": ["next_canvas"],
            "steps": {"default": PIXELS + 1, "minimum": PIXELS + 1, "maximum": PIXELS + 1},
            "choice": {
                "output": "scores",
                "default": "sample",
                "sample": {"temperature": {"default": 1.0, "minimum": 0.01, "maximum": 4.0}},
            },
        },
        "sample": {"tensor": "next_canvas", "preview": "next_canvas"},
        "parameters": {"count": {"default": 1, "minimum": 1, "maximum": MAX_BATCH}},
        "golden": {"file": "golden.npz", "tolerance": 1e-3},
        "provenance": {
            "recipe": {},
            "seed": version,
            "git_commit": "none",
            "created": "2026-11-28",
            "libraries": {},
            "dataset": None,
            "metrics": {},
            "parity": {},
            "parameters": 2,
            "macs": PIXELS,
        },
    }
