"""Tensors as the Open Inference Protocol names them, as numpy holds them, and what a graph accepts."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.nearest import listed
from service.package import Datatype, Loop, TensorSpec

Tensor = NDArray[np.generic]
Tensors = Mapping[str, Tensor]

# Little-endian whatever the host: the wire is.
DTYPES: dict[Datatype, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),  # of str
}
DATATYPES: dict[np.dtype[np.generic], Datatype] = {dtype: name for name, dtype in DTYPES.items()}


def check_inputs(model: str, specs: tuple[TensorSpec, ...], inputs: Tensors, *, batched: bool = True) -> int:
    """The number of rows in ``inputs``, once each tensor is known to be what the graph wants.

    A request for a graph without a batch dimension (not ``batched``) counts as one row.

    Raises:
        InvalidArgument: naming the model, the tensor, what came and what was wanted.
    """
    _check_names(model, {spec.name: None for spec in specs}, inputs)
    rows = -1
    for spec in specs:
        tensor = inputs[spec.name]
        _check_tensor(model, spec, tensor)
        if not batched:
            continue
        if not tensor.shape[0]:
            raise InvalidArgument(
                f"model {model!r} input {spec.name!r}: shape {list(tensor.shape)} came; at least one row is wanted"
            )
        if rows not in (-1, tensor.shape[0]):
            raise InvalidArgument(
                f"model {model!r}: inputs have {rows} and {tensor.shape[0]} rows; one batch has one size"
            )
        rows = tensor.shape[0]
    return rows if batched else 1


def check_outputs(model: str, specs: tuple[TensorSpec, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The output names to answer: those wanted, in that order, or all where none is named."""
    names = {spec.name: None for spec in specs}
    for name in wanted:
        if name not in names:
            raise InvalidArgument(f"model {model!r} has no output {name!r}; it has {listed(names)}")
    return wanted or tuple(names)


def check_steps(model: str, loop: Loop, inputs: Tensors) -> tuple[int, Tensors]:
    """The number of rows of a request for a loop, and its inputs with those left out filled in by their defaults.

    A request that brings no tensor at all, where none is needed, is one row.

    Raises:
        InvalidArgument: as `check_inputs`.
    """
    left_out = [spec for spec in loop.inputs if spec.name not in inputs and loop.defaults.get(spec.name) is not None]
    brought = tuple(spec for spec in loop.inputs if spec not in left_out)
    rows = check_inputs(model, brought, inputs) if brought or inputs else 1
    if rows > loop.max_batch:
        raise InvalidArgument(f"model {model!r}: {rows} rows came; a loop takes at most {loop.max_batch} at once")
    filled = {
        spec.name: np.full((rows, *spec.shape[1:]), loop.defaults[spec.name], DTYPES[spec.datatype])
        for spec in left_out
    }
    return rows, {**inputs, **filled}


def _check_names(model: str, wanted: Collection[str], came: Collection[str]) -> None:
    for name in came:
        if name not in wanted:
            raise InvalidArgument(f"model {model!r} has no input {name!r}; it has {listed(wanted)}")
    for name in wanted:
        if name not in came:
            raise InvalidArgument(f"model {model!r} needs input {name!r}; inputs {listed(came)} came")


def _check_tensor(model: str, spec: TensorSpec, tensor: Tensor) -> None:
    if tensor.dtype != DTYPES[spec.datatype]:
        came = DATATYPES.get(tensor.dtype, str(tensor.dtype))
        raise InvalidArgument(f"model {model!r} input {spec.name!r}: datatype {came} came, {spec.datatype} wanted")
    fits = len(tensor.shape) == len(spec.shape) and all(
        want in (-1, came) for want, came in zip(spec.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise InvalidArgument(
            f"model {model!r} input {spec.name!r}: shape {list(tensor.shape)} came, "
            f"{list(spec.shape)} wanted (-1: any size)"
        )
