"""How a step package is written: its graphs, its loop, its golden example and its card."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.package import CARD, sha256

_ONNX = {"INT64": TensorProto.INT64, "FP32": TensorProto.FLOAT, "UINT8": TensorProto.UINT8}
Array = NDArray[Any]
Spec = tuple[str, str, list[int]]


def graph_file(
    file: str, nodes: list[Any], constants: dict[str, Any], inputs: list[Spec], outputs: list[Spec], max_batch: int
) -> tuple[dict[str, Any], bytes]:
    """What the card says of the graph, and the ONNX file."""
    took, gave = (
        [helper.make_tensor_value_info(n, _ONNX[t], ["N", *shape[1:]]) for n, t, shape in specs]
        for specs in (inputs, outputs)
    )
    weights = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, file.removesuffix(".onnx"), took, gave, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    inputs_said, outputs_said = (
        [{"name": n, "datatype": t, "shape": shape} for n, t, shape in specs] for specs in (inputs, outputs)
    )
    said = {"file": file, "inputs": inputs_said, "outputs": outputs_said, "max_batch": max_batch}
    return said, model.SerializeToString()


def write_loop(
    repository: Path,
    name: str,
    version: int,
    files: dict[str, bytes],
    loop: dict[str, Any],
    golden: dict[str, Array],
    changes: dict[str, Any],
) -> Path:
    """Write the package; ``changes`` go into the card."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    np.savez(folder / "golden.npz", **golden)  # type: ignore[arg-type]
    card = {
        "name": name,
        "version": version,
        "task": "tensor",
        "loop": loop,
        "golden": {"file": "golden.npz", "tolerance": 1e-4},
        "files": {file: sha256(folder / file) for file in (*files, "golden.npz")},
        **changes,
    }
    onnx.checker.check_model(onnx.load(folder / "model.onnx"))
    (folder / CARD).write_text(json.dumps(card, indent=1))
    return folder
