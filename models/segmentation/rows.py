"""The table of segmentation networks: every variant under its name."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.segmentation import context, fcn, segnet, unet
from models.variant import Variant, build_row, find_row

FAMILIES = (fcn, segnet, unet, context)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for family in FAMILIES for variant in family.VARIANTS}


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh model of the row ``name``; ``config`` replaces some of the row's values.

    Raises:
        KeyError: no such row, or a key in ``config`` that the family does not have.
    """
    return build_row(find_row(VARIANTS, name), config)
