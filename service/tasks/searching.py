"""The fields of requests to a search index, and the typed answers."""

from pydantic import BaseModel, Field

from service.indexes import MAX_ITEM_NAME
from service.tasks.answer import Base64, Timing
from service.tasks.task import Ask

MAX_K = 1000
MAX_THUMBNAILS = 100
DEFAULT_K = 10


class IndexAsk(Ask):
    """An index; its model is the one it was built with."""

    model: str = Field("", description="The model the index was built with, or empty; another one is refused.")
    version: str = Field("", description="Its version, or empty; another one is refused.")
    index: str = Field(description="The name of the index.")


class SearchAsk(IndexAsk):
    """An image, and how many of the nearest items to find."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    k: int | None = Field(
        None, ge=1, le=MAX_K, description=f"How many items, 1 to {MAX_K}; empty: {DEFAULT_K}. There may be fewer."
    )
    thumbnails: bool = Field(
        False,
        description=f"Add the small picture of each item, if the index keeps some; k is then 1 to {MAX_THUMBNAILS}.",
    )


class SearchAddAsk(IndexAsk):
    """An image to add to the index, under a name; an item of that name is replaced."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    name: str = Field(description=f"The item's name, 1 to {MAX_ITEM_NAME} characters.")


class SearchRemoveAsk(IndexAsk):
    """The name of an item to remove from the index."""

    name: str = Field(description=f"The item's name, 1 to {MAX_ITEM_NAME} characters.")


class IndexTiming(Timing):
    """How long the stages of the request took, in milliseconds; the model's are 0 where no image is embedded."""

    index_ms: float = Field(description="Reading or writing the index, including the wait for it.")


class FoundItem(BaseModel):
    """An item of the index near the image."""

    name: str
    distance: float = Field(
        description="cosine: 1 minus the cosine of the angle; euclidean: the length of the difference; hamming: the "
        "number of bits that differ."
    )
    similarity: float = Field(
        description="1 for the same vector. cosine: the cosine; euclidean: 1 / (1 + distance); hamming: the share of "
        "bits that agree."
    )
    thumbnail: Base64 | None = Field(None, description="A small picture of it as a PNG file, in base64.")


class SearchAnswer(BaseModel):
    """The answer, with the model and version that embedded the image."""

    model: str
    version: str
    index: str
    metric: str = Field(description="cosine, euclidean or hamming.")
    items: int = Field(description="How many items the index had when it was searched.")
    results: list[FoundItem] = Field(description="The nearest first.")
    timing: IndexTiming


class SearchAddition(BaseModel):
    """The item is in the index, on the disk, and every search that begins after this answer finds it."""

    model: str
    version: str
    index: str
    name: str
    replaced: bool = Field(description="Whether there was an item of that name.")
    items: int = Field(description="How many items the index has now.")
    timing: IndexTiming


class SearchRemoval(BaseModel):
    """The item is not in the index, and no search that begins after this answer finds it."""

    model: str
    version: str
    index: str
    name: str
    removed: bool = Field(description="Whether there was an item of that name.")
    items: int = Field(description="How many items the index has now.")
    timing: IndexTiming
