"""What an index says of itself, and the limits of what it may hold."""

import unicodedata
from typing import Annotated, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from service.errors import InvalidArgument
from service.package import Name
from service.package.embedding import MAX_FEATURES
from service.package.graph import Frozen
from service.package.provenance import Sha256

Metric = Literal["cosine", "euclidean", "hamming"]
METRICS: tuple[Metric, ...] = get_args(Metric)
# Every search compares with every item: a million of 64 numbers take 20 to 40 ms of one core.
MAX_ITEMS = 1_000_000
# Numbers in the vectors of all items together: 1 GiB in memory.
MAX_NUMBERS = 1 << 28
MAX_ITEM_NAME = 255
MAX_THUMBNAIL = 128
# Its square, times `MAX_FEATURES`, is still a float32.
MAX_NUMBER = 1e15
_MAX_ECHO = 80
_NAME = TypeAdapter(Name)


class Description(Frozen):
    """Which model's embeddings are in the index, and how they are compared.

    Attributes:
        name: the index's, which is its folder's.
        model, version, sha256: the model that embeds, its version and the checksum of its graph file.
        metric: how vectors are compared. ``hamming`` compares one bit of each number: whether it is over the
            index's threshold for that number.
        dimension: how many numbers a vector has.
        max_items: how many items the index may have.
        thumbnail: the longer side, in pixels, of the small picture that is kept of each image; 0: none.
    """

    name: Name
    model: Name
    version: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,18}$")]
    sha256: Sha256
    metric: Metric
    dimension: Annotated[int, Field(ge=1, le=MAX_FEATURES)]
    max_items: Annotated[int, Field(ge=1, le=MAX_ITEMS)]
    thumbnail: Annotated[int, Field(ge=0, le=MAX_THUMBNAIL)]

    @model_validator(mode="after")
    def _fits_the_memory(self) -> Self:
        most = MAX_NUMBERS // self.dimension
        if self.max_items > most:
            raise ValueError(f"max_items is {self.max_items}; with dimension {self.dimension} it may be 1 to {most}")
        return self


def checked_index_name(name: str) -> str:
    """The name of an index, which is one of a folder.

    Raises:
        InvalidArgument: it is not one.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        raise InvalidArgument(
            f"index is {name[:_MAX_ECHO]!r}; allowed are 1 to 64 letters, digits, '-' and '_', a letter or digit first"
        ) from error


def checked_item_name(name: str) -> str:
    """The name of an item: a text of one line.

    Raises:
        InvalidArgument: it is empty or too long, or has control characters or halves of characters.
    """
    if not 1 <= len(name) <= MAX_ITEM_NAME:
        raise InvalidArgument(f"name has {len(name)} characters; 1 to {MAX_ITEM_NAME} are allowed")
    for place, letter in enumerate(name):
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidArgument(
                f"name has the character U+{ord(letter):04X} at {place}; control characters and line ends are not "
                "allowed"
            )
    return name


def usable(vectors: NDArray[np.float32]) -> bool:
    """Whether all numbers of the vectors are finite, and small enough that no distance overflows."""
    return bool((np.abs(vectors) <= MAX_NUMBER).all())
