"""What may be asked of a classifier, and the typed answers."""

from base64 import b64encode
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

Base64 = Annotated[
    bytes,
    PlainSerializer(lambda value: b64encode(value).decode(), str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class ClassifyOptions(NamedTuple):
    """Everything has a default: "" and None are the card's, or nothing.

    Attributes:
        top_k: how many labels.
        views: ``single``, ``flip`` or ``ten_crop``: over what the probabilities are averaged.
        explain: ``cam`` or ``deconv``, where the model has it.
        explain_label: the label, or its index, whose class activation map is wanted; "" for the most probable.
        layer: the layer whose strongest maps are projected back; "" for the last.
    """

    top_k: int | None = None
    views: str = ""
    explain: str = ""
    explain_label: str = ""
    layer: str = ""


class Label(BaseModel):
    """One class and how probable the model finds it."""

    label: str
    index: int
    probability: float


class Evidence(BaseModel):
    """One thing that was seen in the image; a list of floats would be ten times as long and slow."""

    map: int | None = Field(None, description="deconv: the map's number in its layer.")
    strength: float | None = Field(None, description="deconv: its largest activation.")
    png: Base64 = Field(description="A picture of it, PNG in base64.")
    shape: list[int] = Field(description="Of the values.")
    values: Base64 = Field(description="What was drawn: float32, little-endian, row by row, in base64.")


class Explanation(BaseModel):
    """What the network looked at."""

    method: Literal["cam", "deconv"]
    label: str | None = Field(None, description="cam: the class whose evidence it is.")
    index: int | None = Field(None, description="cam: its index.")
    layer: str | None = Field(None, description="deconv: the layer that was projected back.")
    evidence: list[Evidence] = Field(description="cam: one; deconv: one for each map, the strongest first.")


class Classified(BaseModel):
    """What is said of one image."""

    labels: list[Label] = Field(description="The most probable first.")
    explanation: Explanation | None = Field(None, description="Where one was asked for.")


class Timing(BaseModel):
    """Where the time went, in milliseconds."""

    queue_ms: float = Field(description="Waiting for a lane.")
    decode_ms: float = Field(description="Image bytes to tensor, waiting for a decoder included.")
    compute_ms: float = Field(description="In the lane; shared with the rows of the same batch.")


class Classification(BaseModel):
    """The answer, with the model and version that gave it."""

    model: str
    version: str
    labels: list[Label] = Field(description="The most probable first.")
    explanation: Explanation | None = Field(None, description="Where one was asked for.")
    timing: Timing


class ClassificationBatch(BaseModel):
    """The answer to several images, in their order."""

    model: str
    version: str
    results: list[Classified]
    timing: Timing = Field(description="Of all of them together.")
