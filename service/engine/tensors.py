"""The datatypes of the Open Inference Protocol in numpy, and the check of a request's tensors against the model's."""

from collections.abc import Collection, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.nearest import listed
from service.package import Datatype, Loop, TensorSpec

Tensor = NDArray[np.generic]
Tensors = Mapping[str, Tensor]

# Little-endian on every host, because the protocol is.
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
    """The number of rows in ``inputs``, after checking that they are what the graph takes.

    A request to a graph without a batch dimension (not ``batched``) counts as one row.

    Raises:
        InvalidArgument: an input is missing, unknown, or of a datatype or shape that the graph does not take.
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
                f"shape of input {spec.name!r} is {list(tensor.shape)}; model {model!r} needs at least one row"
            )
        if rows not in (-1, tensor.shape[0]):
            raise InvalidArgument(
                f"inputs have {rows} and {tensor.shape[0]} rows; model {model!r} needs the same number in all of them"
            )
        rows = tensor.shape[0]
    return rows if batched else 1


def check_outputs(model: str, specs: tuple[TensorSpec, ...], requested: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the outputs to return: those requested, in that order, or all if none is.

    Raises:
        InvalidArgument: the model has no such output.
    """
    names = {spec.name: None for spec in specs}
    for name in requested:
        if name not in names:
            raise InvalidArgument(f"model {model!r} has no output {name!r}; it has {listed(names)}")
    return requested or tuple(names)


def check_row_elements(model: str, most: Mapping[str, int], inputs: Tensors) -> None:
    """Check that the rows of inputs of any size are not empty, and have at most the ``most`` elements of their input.

    Raises:
        InvalidArgument: a row is empty or has more.
    """
    for name, allowed in most.items():
        elements = prod(inputs[name].shape[1:])
        if not 1 <= elements <= allowed:
            raise InvalidArgument(
                f"shape of input {name!r} is {list(inputs[name].shape)}, {elements} elements a row; "
                f"model {model!r} allows 1 to {allowed}"
            )


def check_steps(model: str, loop: Loop, inputs: Tensors, wanted: int | None = None) -> tuple[int, Tensors]:
    """The number of rows of a request to a loop, and its inputs with the defaults of those that were left out.

    A request without any tensor, which is possible if all inputs have defaults, has the ``wanted`` rows, or one.

    Raises:
        InvalidArgument: as `check_inputs`; or there are more rows than the loop has slots, or others than ``wanted``.
    """
    left_out = [spec for spec in loop.inputs if spec.name not in inputs and loop.defaults.get(spec.name) is not None]
    given = tuple(spec for spec in loop.inputs if spec not in left_out)
    rows = check_inputs(model, given, inputs) if given or inputs else 1 if wanted is None else wanted
    if wanted not in (None, rows):
        raise InvalidArgument(f"rows is {wanted}; the inputs for model {model!r} have {rows}")
    if rows < 1:
        raise InvalidArgument(f"rows is {rows}; model {model!r} allows 1 to {loop.max_batch}")
    if rows > loop.max_batch:
        raise InvalidArgument(f"the request has {rows} rows; model {model!r} allows at most {loop.max_batch}")
    filled = {
        spec.name: np.full((rows, *spec.shape[1:]), loop.defaults[spec.name], DTYPES[spec.datatype])
        for spec in left_out
    }
    return rows, {**inputs, **filled}


def _check_names(model: str, needed: Collection[str], given: Collection[str]) -> None:
    for name in given:
        if name not in needed:
            raise InvalidArgument(f"model {model!r} has no input {name!r}; it has {listed(needed)}")
    for name in needed:
        if name not in given:
            raise InvalidArgument(f"input {name!r} of model {model!r} is missing; the request has {listed(given)}")


def _check_tensor(model: str, spec: TensorSpec, tensor: Tensor) -> None:
    if tensor.dtype != DTYPES[spec.datatype]:
        datatype = DATATYPES.get(tensor.dtype, str(tensor.dtype))
        raise InvalidArgument(f"datatype of input {spec.name!r} is {datatype}; model {model!r} allows {spec.datatype}")
    fits = len(tensor.shape) == len(spec.shape) and all(
        allowed in (-1, size) for allowed, size in zip(spec.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise InvalidArgument(
            f"shape of input {spec.name!r} is {list(tensor.shape)}; "
            f"model {model!r} allows {list(spec.shape)} (-1: any size)"
        )
