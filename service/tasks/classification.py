"""What may be asked of a classifier, and the typed answers."""

from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from service.tasks.answer import Base64, Timing


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
