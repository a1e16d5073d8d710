"""Where a package comes from: the data, the code, the libraries and the weights before it, and how good it is."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from service.package.graph import MAX_INTEGER, Finite, Frozen, Integer, Positive, Words

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

MAX_FILES = 10_000
MAX_ENTRIES = 1000
MAX_GENERATIONS = 16


class Dataset(Frozen):
    """The data set that the weights were trained and measured on; ``files`` maps each source file to its sha256."""

    name: Words
    licence: Words
    source: Words
    files: dict[Words, Sha256] = Field(max_length=MAX_FILES)
    splits: dict[Words, Positive] = Field(max_length=MAX_ENTRIES, description="Examples in each split.")


def _finite(recipe: dict[str, Any]) -> dict[str, Any]:
    """Check that the recipe, whose values are not typed here, can be JSON, which has no infinite numbers."""
    json.dumps(recipe, allow_nan=False, default=str)
    return recipe


class InitialWeights(Frozen):
    """The weights that training started from: of a package, a run or a file; only a package has a version.

    They have a lineage of their own: the data that they learnt from, and the weights that they started from.
    """

    name: Words
    version: Positive | None = None
    sha256: Sha256 | None = Field(
        None,
        description="Checksum of the package's model.json, which lists its files, or of the file; None if it was lost.",
    )
    dataset: Dataset | None = Field(None, description="What they were trained on; None if it is not known.")
    trained_commit: Words | None = Field(None, description="The code that trained them; None if it is not known.")
    initial_weights: "InitialWeights | None" = Field(
        None, description="What their own training started from; None if from random weights, or if it is not known."
    )

    @property
    def generations(self) -> int:
        """How many weights one after the other the lineage names."""
        return 1 + (self.initial_weights.generations if self.initial_weights else 0)

    @model_validator(mode="after")
    def _lineage_is_bounded(self) -> Self:
        if self.generations > MAX_GENERATIONS:
            raise ValueError(f"the lineage has {self.generations} generations; at most {MAX_GENERATIONS} are allowed")
        return self


class Provenance(Frozen):
    """The origin of the weights and their metrics."""

    recipe: Annotated[dict[str, Any], Field(max_length=MAX_ENTRIES), AfterValidator(_finite)]
    seed: Integer
    git_commit: Words = Field(description="The code that exported the package.")
    trained_commit: Words | None = Field(
        None, description="The code that trained the weights; None if it is not known, as on cards of older exports."
    )
    created: Words
    libraries: dict[Words, Words] = Field(max_length=MAX_ENTRIES)
    dataset: Dataset | None = Field(description="None if the weights came from a file and were not measured.")
    initial_weights: InitialWeights | None = Field(None, description="None if training started from random weights.")
    metrics: dict[Words, Finite] = Field(
        max_length=MAX_ENTRIES, description="Measured on the test split, once, through the serving engine."
    )
    intervals: dict[Words, tuple[Finite, Finite]] = Field(
        {}, max_length=MAX_ENTRIES, description="95 % confidence intervals of metrics, as the test split is finite."
    )
    validation: dict[Words, Finite] = Field(
        {},
        max_length=MAX_ENTRIES,
        description="Measured on the validation split, which the gate is checked on, through the serving engine.",
    )
    parity: dict[Words, Finite] = Field(
        max_length=MAX_ENTRIES, description="Max abs difference from torch, by batch size."
    )
    parameters: Annotated[int, Field(ge=0, le=MAX_INTEGER, description="Trainable values.")]
    macs: Positive = Field(description="Multiply-accumulates for one row.")
    weights: Literal["float32", "float16", "int8"] = "float32"
    temperature: Annotated[
        Finite, Field(gt=0, le=1e6, description="Divisor of the logits, for calibration; 1 for none.")
    ] = 1.0
