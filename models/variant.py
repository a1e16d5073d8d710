"""The rows of the model tables. A family is one class; its variants are rows, never copies."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration of a family, with a name of its own.

    ``parameters`` is the number of trainable values and ``macs`` that of multiply-accumulates for one row of a batch;
    the tests count both. ``lecture`` and ``description`` go on the card of a trained package.
    """

    name: str
    family: type[nn.Module]
    config: Mapping[str, Any]
    parameters: int
    macs: int
    title: str
    lecture: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Variant(Row):
    """A row of a model of images of ``input_shape`` (C, H, W).

    ``receptive_field`` is the side, in pixels, of the square that a unit of the last maps sees (None if there are no
    maps); the tests compute it too.
    """

    input_shape: tuple[int, int, int]
    receptive_field: int | None = None


Rows = TypeVar("Rows", bound=Row)


def find_row(rows: Mapping[str, Rows], name: str) -> Rows:
    """The row called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    if name not in rows:
        raise KeyError(f"no model {name!r}; there are {', '.join(rows)}")
    return rows[name]


def build_row(row: Row, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A new model of ``row``; ``config`` replaces some of the row's values.

    Raises:
        KeyError: a key in ``config`` that the family does not have.
    """
    known = inspect.signature(row.family).parameters
    for key in config or {}:
        if key not in known:
            raise KeyError(f"model {row.name!r} has no {key!r}; it has {', '.join(known)}")
    return row.family(**{**row.config, **(config or {})})
