"""A segmenter built in a moment: a fixed 1x1 convolution that tells red, green and blue pixels from dark ones."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD, sha256

HEIGHT, WIDTH = 6, 8
CLASSES = 4
LABELS = ("dark", "red", "green", "blue")
PALETTE = ("#000000", "#ff0000", "#00ff00", "#0000ff")
MAX_BATCH = 8
# How much a full channel speaks for its colour; half of it speaks for dark, whatever the pixel.
_GAIN = 8.0


class Segmented(NamedTuple):
    """What the segmenter answers for N images of H x W pixels."""

    mask: NDArray[np.uint8]  # (N, H, W)
    probability: NDArray[np.float32]  # (N, H, W)
    area: NDArray[np.int64]  # (N, classes)
    confidence: NDArray[np.float32]  # (N, classes)


def write_segment_package(
    repository: Path,
    name: str = "colours",
    version: int = 1,
    *,
    fails_at: int | None = None,
    reach: int = 0,
    **changes: Any,
) -> Path:
    """Write ``<repository>/<name>/<version>/``; ``changes`` go into the card.

    A channel as bright as ``fails_at`` makes the run of its whole batch fail. With a ``reach``, each pixel is told by
    the mean of those that far around it.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(_graph(fails_at, reach).SerializeToString())
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    image = np.random.default_rng(0).integers(0, 255, (2, HEIGHT, WIDTH, 3), dtype="u1")
    np.savez(folder / "golden.npz", image=image, **untiled(folder, image)._asdict())
    files = {file: sha256(folder / file) for file in ("model.onnx", "labels.txt", "golden.npz")}
    (folder / CARD).write_text(json.dumps({**_card(name, version), "files": files, **changes}, indent=1))
    return folder


def segmented(images: NDArray[np.uint8]) -> Segmented:
    """What the model must answer to images (N, H, W, 3), by numpy."""
    logits = np.concatenate([np.full((*images.shape[:3], 1), _GAIN / 2), images / 255 * _GAIN], -1)
    powers = np.exp(logits)
    mask = logits.argmax(-1)
    probability = powers.max(-1) / powers.sum(-1)
    of_class = mask[..., None] == np.arange(CLASSES)  # (N, H, W, classes)
    area = of_class.sum((1, 2))
    confidence = (of_class * probability[..., None]).sum((1, 2)) / area.clip(1)
    return Segmented(mask.astype("u1"), probability.astype("f4"), area.astype("i8"), confidence.astype("f4"))


def untiled(folder: Path, images: NDArray[np.uint8]) -> Segmented:
    """What the written graph answers to images (N, H, W, 3), by ONNX Runtime alone."""
    names = list(Segmented._fields)
    return Segmented(*ort.InferenceSession(folder / "model.onnx").run(names, {"image": images}))


def _graph(fails_at: int | None, reach: int) -> onnx.ModelProto:
    side = 2 * reach + 1
    kernel = np.zeros((CLASSES, 3, side, side), "f4")
    kernel[1:] = np.eye(3)[..., None, None] * _GAIN / 255 / side**2
    constants: dict[str, Any] = {
        "kernel": kernel,
        "bias": np.array([_GAIN / 2, 0, 0, 0], "f4"),
        "depth": np.int64(CLASSES),
        "off_on": np.array([0, 1], "f4"),
        "places": np.array([2, 3]),
        "channel": np.array([1]),
        "one": np.float32(1),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["channels", "kernel", "bias"], ["logits"], pads=[reach] * 4),
        helper.make_node("Softmax", ["logits"], ["soft"], axis=1),
        helper.make_node("ReduceMax", ["soft"], ["most"], axes=[1], keepdims=0),
        helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["mask"], to=TensorProto.UINT8),
        helper.make_node("OneHot", ["best", "depth", "off_on"], ["of_class"], axis=1),
        helper.make_node("ReduceSum", ["of_class", "places"], ["pixels"], keepdims=0),
        helper.make_node("Cast", ["pixels"], ["area"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["most", "channel"], ["most_of_all"]),
        helper.make_node("Mul", ["of_class", "most_of_all"], ["shares"]),
        helper.make_node("ReduceSum", ["shares", "places"], ["sums"], keepdims=0),
        helper.make_node("Max", ["pixels", "one"], ["at_least_one"]),
        helper.make_node("Div", ["sums", "at_least_one"], ["confidence"]),
    ]
    added = ["most"]
    if fails_at is not None:  # it adds nothing, or fails
        constants["allowed"] = np.zeros(fails_at, "f4")
        nodes += [
            helper.make_node("ReduceMax", ["float"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["allowed", "index"], ["survived"]),
        ]
        added.append("survived")
    graph = helper.make_graph(
        [*nodes, helper.make_node("Sum", added, ["probability"])],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [
            helper.make_tensor_value_info("mask", TensorProto.UINT8, ["N", "H", "W"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", "H", "W"]),
            helper.make_tensor_value_info("area", TensorProto.INT64, ["N", CLASSES]),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["N", CLASSES]),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _card(name: str, version: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "task": "segment",
        "title": "Colours of pixels",
        "lecture": "I2DL X.8",
        "description": "For tests.",
        "graph": {
            "file": "model.onnx",
            "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
            "outputs": [
                {"name": "mask", "datatype": "UINT8", "shape": [-1, -1, -1]},
                {"name": "probability", "datatype": "FP32", "shape": [-1, -1, -1]},
                {"name": "area", "datatype": "INT64", "shape": [-1, CLASSES]},
                {"name": "confidence", "datatype": "FP32", "shape": [-1, CLASSES]},
            ],
            "max_batch": MAX_BATCH,
        },
        "preprocessing": {
            "tensor": "image",
            "colour": "rgb",
            "height": HEIGHT,
            "width": WIDTH,
            "fit": "pad",
            "interpolation": "nearest",
        },
        "segmentation": {
            "mask": "mask",
            "probability": "probability",
            "area": "area",
            "confidence": "confidence",
            "labels": "labels.txt",
            "palette": list(PALETTE),
            "background": 0,
            "countable": [1, 3],
        },
        "parameters": {"output": {"default": ["statistics", "mask"]}},
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
            "parameters": CLASSES * 4,
            "macs": CLASSES * 3 * HEIGHT * WIDTH,
        },
    }
