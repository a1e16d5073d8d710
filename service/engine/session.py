"""One ONNX Runtime session: a graph ready to run on a lane."""

import os
from collections.abc import Sequence
from pathlib import Path

# Read when the library is imported, so it must be set first: nothing here calls out.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

from service.engine.tensors import DATATYPES, Tensor, Tensors
from service.errors import InvalidPackage
from service.package import Graph, TensorSpec

_ORT_TYPES = {
    "tensor(bool)": "?",
    "tensor(float16)": "f2",
    "tensor(float)": "f4",
    "tensor(double)": "f8",
    **{f"tensor(int{bits})": f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": f"u{bits // 8}" for bits in (8, 16, 32, 64)},
}


class Session:
    """A graph loaded on the CPU. ``run`` may be called from several lanes at once.

    Raises:
        InvalidPackage: the file is no ONNX graph we can run, or not the one the card describes.
    """

    def __init__(self, path: Path, graph: Graph, intra_op: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = intra_op
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle pool threads would spin on the core the event loop needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own exception classes share no narrower base
            raise InvalidPackage(f"{path}: ONNX Runtime cannot load it: {error}") from error
        _match(path, "input", graph.inputs, self._session.get_inputs())
        _match(path, "output", graph.outputs, self._session.get_outputs())

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        """The named outputs, in that order, for one batch of inputs."""
        answers: list[Tensor] = self._session.run(outputs, inputs)
        return answers


def _match(path: Path, kind: str, specs: Sequence[TensorSpec], args: Sequence[ort.NodeArg]) -> None:
    wanted = [(spec.name, spec.datatype, tuple(spec.shape)) for spec in specs]
    found = [(arg.name, _datatype(arg), tuple(_dim(d) for d in arg.shape)) for arg in args]
    if wanted != found:
        raise InvalidPackage(f"{path}: the graph's {kind}s are {found}, the card says {wanted}")


def _datatype(arg: ort.NodeArg) -> str:
    code = _ORT_TYPES.get(arg.type)
    return DATATYPES[np.dtype(code)] if code else str(arg.type)


def _dim(dim: int | str | None) -> int:
    return dim if isinstance(dim, int) else -1
