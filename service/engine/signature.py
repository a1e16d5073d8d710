"""The tensors of an ONNX graph, read from the graph itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from service.engine.onnx_graph import GRAPH_DATATYPES, graph_shape
from service.engine.row_probe import why_rows_stay_apart
from service.engine.tensors import DTYPES, Tensors
from service.errors import InvalidPackage
from service.package import TensorSpec
from service.package.bare import Signature
from service.package.graph import MAX_RUN_BYTES


def read_signature(path: Path, session: ort.InferenceSession) -> Signature:
    """The inputs and outputs of the graph that ``session`` has read from the file at ``path``.

    Raises:
        InvalidPackage: a tensor has a datatype that is not supported, or two rows take more memory than a run may.
    """
    inputs, outputs = (_specs(path, args) for args in (session.get_inputs(), session.get_outputs()))
    if not all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs)):
        return Signature(inputs, outputs)
    taken = sum(spec.bytes_of(2) for spec in inputs)
    if taken > MAX_RUN_BYTES:
        raise InvalidPackage(f"{path}: the inputs of 2 rows take {taken} bytes; at most {MAX_RUN_BYTES} are allowed")
    return Signature(inputs, outputs, why_rows_stay_apart(path, session, inputs, outputs))


def zeros(specs: Sequence[TensorSpec], rows: int) -> Tensors:
    """An example of zeros and empty texts. The first dimension is ``rows``, if it is free; other free ones are 1."""
    return {
        spec.name: np.full(_shape(spec.shape, rows), "" if spec.datatype == "BYTES" else 0, DTYPES[spec.datatype])
        for spec in specs
    }


def _shape(shape: Sequence[int], rows: int) -> list[int]:
    sizes = [1 if dim == -1 else dim for dim in shape]
    return [rows, *sizes[1:]] if shape[:1] == (-1,) else sizes


def _specs(path: Path, args: Sequence[Any]) -> tuple[TensorSpec, ...]:
    for arg in args:
        if arg.type not in GRAPH_DATATYPES:
            raise InvalidPackage(
                f"{path}: tensor {arg.name!r} is {arg.type}; allowed are {', '.join(GRAPH_DATATYPES.values())}"
            )
    return tuple(
        TensorSpec(
            name=arg.name,
            datatype=GRAPH_DATATYPES[arg.type],
            shape=graph_shape(arg),
        )
        for arg in args
    )
