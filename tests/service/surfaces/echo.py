"""Packages that answer their inputs unchanged: several inputs, and every datatype on every wire."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from service.engine.tensors import DTYPES
from tests.packages import write_package

_ONNX = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
}
DATATYPES = tuple(_ONNX)
# FP16 has a package of its own, for not every transport carries it.
ECHO = tuple(datatype for datatype in DATATYPES if datatype != "FP16")


def write_echo(repository: Path, name: str, datatypes: Sequence[str]) -> None:
    """Write a package with inputs ``uint8``, ... and outputs ``same_uint8``, ..., (rows, 2) each."""
    given = {datatype.lower(): extremes(datatype) for datatype in datatypes}
    golden = io.BytesIO()
    arrays: dict[str, Any] = {**given, **{f"same_{key}": values for key, values in given.items()}}
    np.savez(golden, **arrays)
    contents = {"model.onnx": _graph(datatypes), "labels.txt": b"first\nsecond\n", "golden.npz": golden.getvalue()}
    folder = write_package(
        repository,
        name,
        graph={
            "file": "model.onnx",
            "inputs": [{"name": t.lower(), "datatype": t, "shape": [-1, 2]} for t in datatypes],
            "outputs": [{"name": f"same_{t.lower()}", "datatype": t, "shape": [-1, 2]} for t in datatypes],
            "max_batch": 4,
        },
        preprocessing={"tensor": datatypes[-1].lower(), "colour": "grey", "height": 1, "width": 2},
        classes={"tensor": f"same_{datatypes[-1].lower()}", "labels": "labels.txt"},
        parameters={"top_k": {"default": 1, "minimum": 1, "maximum": 2}},
        files={file: hashlib.sha256(data).hexdigest() for file, data in contents.items()},
    )
    for file, data in contents.items():
        (folder / file).write_bytes(data)


def extremes(datatype: str) -> NDArray[Any]:
    """The least and the greatest value of the datatype, (1, 2)."""
    dtype = DTYPES[datatype]  # type: ignore[index]  # a test's own spelling is checked by running it
    if dtype.kind == "b":
        return np.array([[False, True]])
    holds = np.iinfo(dtype.str) if dtype.kind in "iu" else np.finfo(dtype.str)
    return np.array([[holds.min, holds.max]], dtype)


def _graph(datatypes: Sequence[str]) -> bytes:
    names = {datatype.lower(): _ONNX[datatype] for datatype in datatypes}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"same_{name}"]) for name in names],
        "echo",
        [helper.make_tensor_value_info(name, kind, ["N", 2]) for name, kind in names.items()],
        [helper.make_tensor_value_info(f"same_{name}", kind, ["N", 2]) for name, kind in names.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())
