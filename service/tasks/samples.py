"""Samples as pictures. Call it on decoder threads, not on the event loop."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.tasks.png import png

GAP = 2  # pixels between two samples of a grid
_PAPER = 255

Samples = NDArray[Any]  # uint8


def images(samples: Samples) -> list[bytes]:
    """Each of the samples, (N, H, W) or (N, H, W, 3), as a PNG file."""
    return [png(Image.fromarray(sample)) for sample in samples]


def grid(samples: Samples) -> bytes:
    """All samples, (N, H, W) or (N, H, W, 3), in one PNG file: row by row, about as many rows as columns."""
    count, height, width = samples.shape[:3]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    picture = np.full((*size, *samples.shape[3:]), _PAPER, "u1")
    for number, sample in enumerate(samples):
        top, left = (place * (side + GAP) for place, side in zip(divmod(number, columns), (height, width), strict=True))
        picture[top : top + height, left : left + width] = sample
    return png(Image.fromarray(picture))
