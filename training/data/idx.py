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
        A read-only view of ``content`` in the shape the header gives.

    Raises:
        DataError: naming ``name``: not idx, no unsigned bytes, or not as long as its header says.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{name}: not an idx file")
    kind, dimensions = content[2], content[3]
    if kind != UNSIGNED_BYTE:
        raise DataError(f"{name}: idx type 0x{kind:02x}, only unsigned bytes (0x08) are read")
    start = 4 + 4 * dimensions
    if dimensions == 0 or len(content) < start:
        raise DataError(f"{name}: truncated, the idx header of {dimensions} dimensions is not complete")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if (found := len(content) - start) != (wanted := math.prod(shape)):
        raise DataError(f"{name}: {found} bytes of data, the header says {shape}, which is {wanted}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
