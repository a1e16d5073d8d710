"""Open Inference Protocol tensors, as bytes or as lists of elements, to numpy. REST and gRPC share this."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from service.engine.tensors import DATATYPES, DTYPES, Tensor
from service.errors import InvalidArgument
from service.package import Datatype
from service.package.graph import MAX_TENSORS
from service.surfaces.oip.bytes_tensors import listed_texts, raw_texts, texts_bytes

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "generate",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "statistics",
)
_MAX_RANK = 8
_MAX_NAME = 128
_MAX_ELEMENTS = 1 << 40
_DTYPES: dict[str, np.dtype[np.generic]] = {
    str(name): dtype for name, dtype in DTYPES.items()
}  # by any name, not only the right ones
# What a JSON or protobuf element of each kind of dtype may be; the first is the usual one.
_KINDS: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (float, int), "O": (str, bytes)}


def raw_tensor(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> Tensor:
    """``data``, row-major and little-endian, as a tensor that shares its memory; of texts, as `raw_texts` reads them.

    Raises:
        InvalidArgument: an unknown datatype, a bad shape, or another number of bytes than they ask for; of texts, as
            `raw_texts`.
    """
    dtype = _dtype(name, datatype)
    if datatype == "BYTES":
        return np.array(raw_texts(name, data, _elements(name, shape)), dtype).reshape(shape)
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
            not of the datatype or outside its range; of texts, as `listed_texts`.
    """
    dtype = _dtype(name, datatype)
    if datatype == "FP16":
        raise InvalidArgument(f"input {name!r}: FP16 has no JSON or protobuf form; send it as raw bytes")
    wanted = _elements(name, shape)
    values = _flat(name, values)
    if len(values) != wanted:
        raise InvalidArgument(f"input {name!r}: {len(values)} elements came, shape {list(shape)} needs {wanted}")
    # Before numpy sees them: it would make room for the longest string once an element.
    kinds = _KINDS[dtype.kind]
    for kind in set(map(type, values)) - set(kinds):
        raise InvalidArgument(f"input {name!r}: data holds {kind.__name__}; {datatype} wants {kinds[0].__name__}")
    if datatype == "BYTES":
        return np.array(listed_texts(name, values), dtype).reshape(shape)
    try:
        with np.errstate(over="raise"):
            return np.array(values, dtype).reshape(shape)
    except (OverflowError, FloatingPointError) as error:
        holds = np.iinfo(dtype.str) if dtype.kind in "iu" else np.finfo(dtype.str)
        raise InvalidArgument(
            f"input {name!r}: elements {min(values)} to {max(values)} came; {datatype} holds {holds.min} to {holds.max}"
        ) from error


def check_tensor_count(kind: str, count: int) -> None:
    """Check that a request may name so many inputs, or outputs.

    Raises:
        InvalidArgument: no model has so many.
    """
    if count > MAX_TENSORS:
        raise InvalidArgument(f"{count} {kind}s came; no model has over {MAX_TENSORS}")


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


def raw_bytes(tensor: Tensor) -> bytes:
    """The tensor as it goes over the wire: row-major and little-endian, a text as its length in 4 bytes and itself."""
    return texts_bytes(tensor) if tensor.dtype.kind == "O" else tensor.tobytes()


def check_finite(name: str, tensor: Tensor, instead: str) -> None:
    """Check that JSON has a form for all numbers of an output.

    Raises:
        InvalidArgument: one is NaN or infinite; the message ends with ``instead``.
    """
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise InvalidArgument(f"output {name!r} holds NaN or infinity, which JSON has no form for; {instead}")


def _dtype(name: str, datatype: str) -> np.dtype[np.generic]:
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise InvalidArgument(f"input {name!r}: datatype {datatype[:40]!r} came; one of {', '.join(DTYPES)} is wanted")
    return dtype


def _elements(name: str, shape: Sequence[int]) -> int:
    # A 0 hides the other dimensions from us, but not from numpy.
    if len(shape) > _MAX_RANK or min(shape, default=0) < 0 or prod(filter(None, shape)) > _MAX_ELEMENTS:
        raise InvalidArgument(
            f"input {name!r}: shape {list(shape)[: _MAX_RANK + 1]} came; at most {_MAX_RANK} dimensions "
            f"and {_MAX_ELEMENTS} elements, none negative, are wanted"
        )
    return prod(shape)


def _flat(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """The elements of ``values``, nested as deep as a tensor may be; lists of one level have one length."""
    for _ in range(_MAX_RANK):
        if not values or type(values[0]) is not list:
            return values
        if set(map(type, values)) != {list} or len(set(map(len, values))) > 1:
            raise InvalidArgument(f"input {name!r}: data is ragged; a flat list or a regularly nested one is wanted")
        values = list(chain.from_iterable(values))
    raise InvalidArgument(f"input {name!r}: data is nested deeper than {_MAX_RANK} lists")
