"""The base class and number types of a recipe's tables."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MOST = 2**31 - 1  # the largest count
LARGEST = 1e37  # the largest number: an optimiser may still multiply it by ten in float32

Count = Annotated[int, Field(ge=1, le=MOST)]
Whole = Annotated[int, Field(ge=0, le=MOST)]
NonEmpty = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]


class Table(BaseModel):
    """A table of a recipe: immutable, its numbers finite, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """``values``, if they can be written as JSON, as checkpoints and cards need.

    Raises:
        ValueError: they cannot.
    """
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            "values must be finite numbers, strings, true or false, or lists or tables of these"
        ) from error
    return values
