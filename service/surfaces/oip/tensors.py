"""Open Inference Protocol tensors, as bytes or as lists of elements, to numpy. REST and gRPC share this."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from service.engine.tensors import DATATYPES, DTYPES, Tensor
from service.errors import InvalidArgument
from service.package import Datatype
from service.surfaces.oip.bytes_tensors import listed_texts, raw_texts, texts_bytes

MAX_RANK = 8
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
    needed = _elements(name, shape) * dtype.itemsize
    if len(data) != needed:
        raise InvalidArgument(f"input {name!r} has {len(data)} bytes; shape {list(shape)} of {datatype} needs {needed}")
    return np.ndarray(shape, dtype, data)


def listed_tensor(name: str, datatype: str, shape: Sequence[int], values: Any) -> Tensor:
    """``values``, a flat or nested sequence of JSON or protobuf scalars, as a tensor.

    Raises:
        InvalidArgument: an unknown datatype, a bad shape, another number of elements, or elements that are
            not of the datatype or outside its range; of texts, as `listed_texts`.
    """
    dtype = _dtype(name, datatype)
    if datatype == "FP16":
        raise InvalidArgument(f"input {name!r}: FP16 has no JSON or protobuf form; send it as raw bytes")
    needed = _elements(name, shape)
    # A protobuf field becomes a list by a slice: its iterator takes several times as long.
    values = _flat(name, values if type(values) is list else values[:])
    if len(values) != needed:
        raise InvalidArgument(f"input {name!r} has {len(values)} elements; shape {list(shape)} needs {needed}")
    # Before numpy sees them: it would make room for the longest string once an element.
    kinds = _KINDS[dtype.kind]
    for kind in set(map(type, values)) - set(kinds):
        raise InvalidArgument(f"input {name!r}: data holds {kind.__name__}; {datatype} allows {kinds[0].__name__}")
    if datatype == "BYTES":
        return np.array(listed_texts(name, values), dtype).reshape(shape)
    try:
        with np.errstate(over="raise"):
            return np.array(values, dtype).reshape(shape)
    except (OverflowError, FloatingPointError) as error:
        holds = np.iinfo(dtype.str) if dtype.kind in "iu" else np.finfo(dtype.str)
        raise InvalidArgument(
            f"input {name!r} has elements {min(values)} to {max(values)}; {datatype} holds {holds.min} to {holds.max}"
        ) from error


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
        raise InvalidArgument(f"input {name!r}: datatype is {datatype[:40]!r}; allowed are {', '.join(DTYPES)}")
    return dtype


def _elements(name: str, shape: Sequence[int]) -> int:
    """How many elements a tensor of this shape has."""
    count = prod(shape)
    # A 0 hides the other dimensions from us, but not from numpy.
    if len(shape) > MAX_RANK or (shape and min(shape) < 0) or (count or prod(filter(None, shape))) > _MAX_ELEMENTS:
        shown = f"{list(shape[:MAX_RANK])}{' and more' if len(shape) > MAX_RANK else ''}"
        raise InvalidArgument(
            f"input {name!r}: shape is {shown}; at most {MAX_RANK} dimensions, none negative, and {_MAX_ELEMENTS} "
            "elements are allowed"
        )
    return count


def _flat(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """The elements of ``values``, nested as deep as a tensor may be; lists of one level have one length."""
    for _ in range(MAX_RANK):
        if not values or type(values[0]) is not list:
            return values
        if set(map(type, values)) != {list} or len(set(map(len, values))) > 1:
            raise InvalidArgument(f"input {name!r}: data is ragged; it must be flat, or nested with equal lengths")
        values = list(chain.from_iterable(values))
    raise InvalidArgument(f"input {name!r}: data is nested deeper than the {MAX_RANK} lists allowed")
