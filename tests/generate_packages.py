"""A generator built in a moment: noise around a grey that tells the sample's label, guidance and number of steps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD, sha256

HEIGHT, WIDTH = 3, 5
LABELS = ("pale", "dark")
UNCONDITIONAL = len(LABELS)
MAX_BATCH = 16
MAX_COUNT = 9
# The grey of each class, of which the guidance takes a multiple; that of no class is nothing.
GREYS = (20.0, 40.0, 0.0)
# How far a standard deviation of the noise is from the grey.
NOISE = 10.0


def write_generate_package(
    repository: Path, name: str = "greys", version: int = 1, *, colour: bool = False, **changes: Any
) -> Path:
    """Write ``<repository>/<name>/<version>/``; ``changes`` go into the card.

    A grey has one value a pixel, or three with ``colour``.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    shape = [HEIGHT, WIDTH, 3] if colour else [HEIGHT, WIDTH]
    (folder / "step.onnx").write_bytes(_graph(shape).SerializeToString())
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    card = _card(name, version, shape)
    np.savez(folder / "golden.npz", **_golden(folder, card["loop"]["step"]))
    files = {file: sha256(folder / file) for file in ("step.onnx", "labels.txt", "golden.npz")}
    (folder / CARD).write_text(json.dumps({**card, "files": files, **changes}, indent=1))
    return folder


def grey(steps: int, label: int = UNCONDITIONAL, guidance: float = 1.0) -> int:
    """The grey of a sample without noise after so many steps."""
    return int(GREYS[label] * guidance + steps)


def noisy(noise: NDArray[np.float32], steps: int, truncation: float = 1.0) -> NDArray[np.uint8]:
    """A sample of no class, made of standard normal ``noise``."""
    sample: NDArray[np.uint8] = np.clip(noise * np.float32(NOISE * truncation) + np.float32(steps), 0, 255).astype("u1")
    return sample


def noise(seed: int, row: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The standard normal numbers that the engine draws for a row."""
    return np.random.Generator(np.random.Philox(key=[seed, row])).standard_normal(shape, "f4")


def _graph(shape: list[int]) -> onnx.ModelProto:
    def info(name: str, datatype: int, *sides: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, datatype, ["N", *sides])

    constants: dict[str, Any] = {
        "greys": np.array(GREYS, "f4"),
        "noise": np.float32(NOISE),
        "one": np.float32(1),
        "low": np.float32(0),
        "high": np.float32(255),
        "sides": np.arange(1, len(shape) + 1),
    }
    nodes = [
        helper.make_node("Identity", ["latent"], ["next_latent"]),
        helper.make_node("Add", ["steps_taken", "one"], ["next_steps_taken"]),
        helper.make_node("Gather", ["greys", "label"], ["of_class"]),
        helper.make_node("Mul", ["of_class", "guidance"], ["guided"]),
        helper.make_node("Add", ["guided", "next_steps_taken"], ["grey"]),
        helper.make_node("Unsqueeze", ["grey", "sides"], ["of_all_pixels"]),
        helper.make_node("Mul", ["truncation", "noise"], ["deviation"]),
        helper.make_node("Unsqueeze", ["deviation", "sides"], ["scale"]),
        helper.make_node("Mul", ["latent", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "of_all_pixels"], ["sum"]),
        helper.make_node("Clip", ["sum", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["image"], to=TensorProto.UINT8),
        helper.make_node("Identity", ["image"], ["so_far"]),
    ]
    graph = helper.make_graph(
        nodes,
        "greys",
        [
            info("latent", TensorProto.FLOAT, *shape),
            info("steps_taken", TensorProto.FLOAT),
            info("label", TensorProto.INT64),
            info("guidance", TensorProto.FLOAT),
            info("truncation", TensorProto.FLOAT),
        ],
        [
            info("next_latent", TensorProto.FLOAT, *shape),
            info("next_steps_taken", TensorProto.FLOAT),
            info("image", TensorProto.UINT8, *shape),
            info("so_far", TensorProto.UINT8, *shape),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _golden(folder: Path, step: dict[str, Any]) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    inputs: dict[str, Any] = {each["name"]: draw.random([2, *each["shape"][1:]], "f4") for each in step["inputs"]}
    inputs["label"] = np.arange(2)
    names = [each["name"] for each in step["outputs"]]
    found = ort.InferenceSession(folder / "step.onnx").run(names, inputs)
    return {f"step.{name}": value for name, value in (inputs | dict(zip(names, found, strict=True))).items()}


def _card(name: str, version: int, shape: list[int]) -> dict[str, Any]:
    def tensor(name: str, datatype: str, *sides: int) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [-1, *sides]}

    def state(initial: dict[str, Any], output: str) -> dict[str, Any]:
        return {"kind": "state", "output": output, "initial": initial}

    return {
        "name": name,
        "version": version,
        "task": "generate",
        "title": "Noise around a grey",
        "lecture": "DL 22",
        "description": "For tests.",
        "loop": {
            "step": {
                "file": "step.onnx",
                "inputs": [
                    tensor("latent", "FP32", *shape),
                    tensor("steps_taken", "FP32"),
                    tensor("label", "INT64"),
                    tensor("guidance", "FP32"),
                    tensor("truncation", "FP32"),
                ],
                "outputs": [
                    tensor("next_latent", "FP32", *shape),
                    tensor("next_steps_taken", "FP32"),
                    tensor("image", "UINT8", *shape),
                    tensor("so_far", "UINT8", *shape),
                ],
                "max_batch": MAX_BATCH,
            },
            "sources": {
                "latent": state({"kind": "draw", "distribution": "normal"}, "next_latent"),
                "steps_taken": state({"kind": "fill", "value": 0}, "next_steps_taken"),
                "label": {"kind": "request", "default": UNCONDITIONAL},
                "guidance": {"kind": "request", "default": 1.0},
                "truncation": {"kind": "request", "default": 1.0},
            },
            "emit": ["so_far"],
            "answer": ["image"],
            "steps": {"default": 4, "minimum": 1, "maximum": 100},
        },
        "sample": {"tensor": "image", "preview": "so_far"},
        "parameters": {
            "count": {"default": 1, "minimum": 1, "maximum": MAX_COUNT},
            "label": {"tensor": "label", "labels": "labels.txt", "unconditional": UNCONDITIONAL},
            "guidance": {"tensor": "guidance", "default": 1.0, "minimum": 0.0, "maximum": 5.0},
            "truncation": {"tensor": "truncation", "default": 1.0, "minimum": 0.0, "maximum": 1.0},
        },
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
            "parameters": len(GREYS),
            "macs": HEIGHT * WIDTH,
        },
    }
