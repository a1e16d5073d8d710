"""The idx file format of MNIST (yann.lecun.com/exdb/mnist, "the idx file format"), unsigned bytes only."""

import math
import struct

import numpy as np
import numpy.typing as npt

from training.errors import DataError

UNSIGNED_BYTE = 0x08


def parse_idx(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The array in ``content``: two zero bytes, type, number of dimensions, big-endian sizes, values.

    Returns:
        A read-only view of ``content`` in the shape that the header gives.

    Raises:
        DataError: the content is not idx, not of unsigned bytes, or not as long as its header says; the message begins
            with ``name``.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{name}: not an idx file")
    kind, dimensions = content[2], content[3]
    if kind != UNSIGNED_BYTE:
        raise DataError(f"{name}: its idx type is 0x{kind:02x}; only unsigned bytes (0x08) are supported")
    start = 4 + 4 * dimensions
    if dimensions == 0 or len(content) < start:
        raise DataError(f"{name}: its idx header of {dimensions} dimensions is truncated")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if (found := len(content) - start) != (wanted := math.prod(shape)):
        raise DataError(f"{name}: has {found} bytes of data; its header says {shape}, which is {wanted}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
