"""The table of models: every variant under its name."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from models.classification import (
    alexnet,
    googlenet,
    lenet5,
    logistic,
    mlp,
    neighbours,
    resnet,
    softmax,
    vgg,
    xception,
)
from models.variant import Variant

# In the order of the lecture.
FAMILIES = (logistic, softmax, neighbours, mlp, lenet5, alexnet, vgg, resnet, googlenet, xception)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for family in FAMILIES for variant in family.VARIANTS}


def find(name: str) -> Variant:
    """The row called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    if name not in VARIANTS:
        raise KeyError(f"no model {name!r}; there are {', '.join(VARIANTS)}")
    return VARIANTS[name]


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh model of the row ``name``; ``config`` replaces some of the row's values.

    Raises:
        KeyError: no such row, or a key in ``config`` that the family does not have.
    """
    variant = find(name)
    known = inspect.signature(variant.family).parameters
    for key in config or {}:
        if key not in known:
            raise KeyError(f"model {name!r} has no {key!r}; it has {', '.join(known)}")
    return variant.family(**{**variant.config, **(config or {})})
