"""What a row of the model table says. A family is one class; its variants are rows, never copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Variant:
    """One configuration of a family, under a name of its own.

    ``input_shape`` is that of one row, (C, H, W); ``parameters`` is the number of trainable values, which the
    tests count; ``lecture`` and ``description`` are what the card of a trained package says.
    """

    name: str
    family: type[nn.Module]
    config: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    parameters: int
    title: str
    lecture: str
    description: str
