"""BYTES tensors, which are ONNX's strings: each element on the wire, and as a text."""

from collections.abc import Sequence
from struct import Struct

from service.engine.tensors import Tensor
from service.errors import InvalidArgument

# An element is a Python object, so a request of tiny ones takes many times its own size; more is for several requests.
MAX_ELEMENTS = 1 << 16
MAX_ELEMENT_BYTES = 1 << 20
_LENGTH = Struct("<I")


def raw_texts(name: str, data: bytes | memoryview, count: int) -> list[str]:
    """The ``count`` texts in ``data``, each its length in 4 bytes, little-endian, and its UTF-8.

    Raises:
        InvalidArgument: a length leads past the end, bytes follow the last text, one is too long or not UTF-8, or there
            are too many.
    """
    check_count(name, count)
    texts: list[str] = []
    at = 0
    for place in range(count):
        left = len(data) - at - _LENGTH.size
        if left < 0:
            raise InvalidArgument(f"input {name!r} has {len(data)} bytes, which end before element {place} of {count}")
        (length,) = _LENGTH.unpack_from(data, at)
        if length > left:
            raise InvalidArgument(f"input {name!r}: element {place} says it has {length} bytes; {left} are left")
        at += _LENGTH.size + length
        texts.append(_text(name, place, data[at - length : at]))
    if at < len(data):
        raise InvalidArgument(f"input {name!r}: {len(data) - at} bytes follow the last of {count} elements")
    return texts


def listed_texts(name: str, values: Sequence[str | bytes]) -> list[str]:
    """The texts of JSON strings, or of protobuf's bytes.

    Raises:
        InvalidArgument: one is too long or not UTF-8, or there are too many.
    """
    check_count(name, len(values))
    encoded = (value.encode() if isinstance(value, str) else value for value in values)
    return [_text(name, place, value) for place, value in enumerate(encoded)]


def texts_bytes(tensor: Tensor) -> bytes:
    """The texts of a tensor as `raw_texts` reads them."""
    texts = [str(text).encode() for text in tensor.ravel()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def check_count(name: str, count: int) -> None:
    """Check that a tensor may have so many texts.

    Raises:
        InvalidArgument: it may not.
    """
    if count > MAX_ELEMENTS:
        raise InvalidArgument(f"input {name!r} has {count} BYTES elements; at most {MAX_ELEMENTS} are allowed")


def _text(name: str, place: int, data: bytes | memoryview) -> str:
    if len(data) > MAX_ELEMENT_BYTES:
        raise InvalidArgument(
            f"input {name!r}: element {place} has {len(data)} bytes; at most {MAX_ELEMENT_BYTES} are allowed"
        )
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"input {name!r}: element {place} is not UTF-8, as ONNX's strings are: {error.reason} at byte {error.start}"
        ) from error
