"""Open Inference Protocol tensors, as bytes or as lists of elements, to numpy. REST and gRPC share this."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from service.engine.tensors import DATATYPES, DTYPES, Tensor
from service.errors import InvalidArgument
from service.package import Datatype

EXTENSIONS = ("binary_tensor_data",)
PLATFORM = "onnx_onnxv1"
_MAX_RANK = 8
_MAX_NAME = 128


def raw_tensor(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> Tensor:
    """``data``, row-major and little-endian, as a tensor that shares its memory.

    Raises:
        InvalidArgument: an unknown datatype, a bad shape, or another number of bytes than they ask for.
    """
    dtype = _dtype(name, datatype)
    wanted = _elements(name, shape) * dtype.itemsize
    if len(data) != wanted:
        raise InvalidArgument(
            f"input {name!r}: {len(data)} bytes came, shape {list(shape)} of {datatype} needs {wanted}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def listed_tensor(name: str, datatype: str, shape: Sequence[int], values: Any) -> Tensor:
    """``values``, a flat or nested sequence of JSON or protobuf scalars, as a tensor.

    Raises:
        InvalidArgument: an unknown datatype, a bad shape, another number of elements, or elements that are
            not of the datatype or outside its range.
    """
    dtype = _dtype(name, datatype)
    if datatype == "FP16":
        raise InvalidArgument(f"input {name!r}: FP16 has no JSON or protobuf form; send it as raw bytes")
    wanted = _elements(name, shape)
    array = _array(name, datatype, values)
    if array.size != wanted:
        raise InvalidArgument(f"input {name!r}: {array.size} elements came, shape {list(shape)} needs {wanted}")
    if dtype.kind in "iu" and array.size:
        _check_range(name, datatype, np.iinfo(dtype.str), array)
    return array.astype(dtype).reshape(shape)


def checked_name(kind: str, name: str) -> str:
    """``name``, if it is short enough to be one and to stand in an error message.

    Raises:
        InvalidArgument: it is longer.
    """
    if len(name) > _MAX_NAME:
        raise InvalidArgument(f"{kind} name of {len(name)} characters came; at most {_MAX_NAME} are wanted")
    return name


def datatype_of(tensor: Tensor) -> Datatype:
    """The protocol's name for the tensor's dtype."""
    return DATATYPES[tensor.dtype]


def _dtype(name: str, datatype: str) -> np.dtype[np.generic]:
    for known, dtype in DTYPES.items():
        if known == datatype:
            return dtype
    raise InvalidArgument(f"input {name!r}: datatype {datatype[:40]!r} came; one of {', '.join(DTYPES)} is wanted")


def _elements(name: str, shape: Sequence[int]) -> int:
    if len(shape) > _MAX_RANK or any(dim < 0 for dim in shape):
        raise InvalidArgument(
            f"input {name!r}: shape {list(shape)[: _MAX_RANK + 1]} came; "
            f"at most {_MAX_RANK} dimensions, none negative, are wanted"
        )
    return prod(shape)


def _array(name: str, datatype: str, values: Any) -> Tensor:
    """The values with the dtype numpy finds for them, which must be of the datatype's kind."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"input {name!r}: data is ragged or not all {datatype}") from error
    kinds = "b" if datatype == "BOOL" else "iuf" if datatype.startswith("FP") else "iu"
    if array.size and array.dtype.kind not in kinds:
        raise InvalidArgument(f"input {name!r}: data holds elements that are not {datatype}")
    return array


def _check_range(name: str, datatype: str, holds: "np.iinfo[Any]", array: Tensor) -> None:
    least, most = int(array.min()), int(array.max())
    if least < holds.min or most > holds.max:
        raise InvalidArgument(
            f"input {name!r}: elements {least} to {most} came; {datatype} holds {holds.min} to {holds.max}"
        )
