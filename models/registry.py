"""All models of all tasks, by name."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.captioning import rows as captioning
from models.classification import rows as classification
from models.generation import rows as generation
from models.language import recogniser as language
from models.segmentation import rows as segmentation
from models.variant import Row, build_row, find_row

ROWS: Mapping[str, Row] = {
    **classification.VARIANTS,
    **captioning.VARIANTS,
    **language.VARIANTS,
    **segmentation.VARIANTS,
    **generation.VARIANTS,
}


def find(name: str) -> Row:
    """The row called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    return find_row(ROWS, name)


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A new model of the row ``name``; ``config`` replaces some of the row's values.

    Raises:
        KeyError: no such row, or a key in ``config`` that the family does not have.
    """
    return build_row(find(name), config)
