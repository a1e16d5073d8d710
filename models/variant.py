"""What a row of the model table says. A family is one class; its variants are rows, never copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Variant:
    """One configuration of a family, under a name of its own.

    ``input_shape`` is that of one row, (C, H, W); ``parameters`` is the number of trainable values and ``macs`` that
    of multiply-accumulates for one row, which the tests count, as they do ``receptive_field``: the pixels, down
    and across, that a unit of the last maps sees (None where there are no maps). ``lecture`` and ``description``
    are what the card of a trained package says.
    """

    name: str
    family: type[nn.Module]
    config: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    parameters: int
    macs: int
    title: str
    lecture: str
    description: str
    receptive_field: int | None = None
