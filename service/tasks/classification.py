"""The fields of a classification request, and the result for one image."""

from typing import Literal

from pydantic import BaseModel, Field

from service.package import VIEWS
from service.tasks.answer import Base64
from service.tasks.task import Ask


class ClassifyAsk(Ask):
    """An image, and options of its labels and their explanation."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    top_k: int | None = Field(None, ge=1, description="How many labels are returned; empty: the card's default.")
    views: str = Field(
        "",
        description="The views of the image that the answer is averaged over; empty: the card's default.",
        json_schema_extra={"enum": ["", *VIEWS]},
    )
    explain: str = Field(
        "",
        description="Show what the network looked at. cam: a class activation map; deconv: the strongest maps of a "
        "layer, projected back to pixels; empty: nothing.",
        json_schema_extra={"enum": ["", "cam", "deconv"]},
    )
    explain_label: str = Field("", description="cam: the label to explain, or its index; empty: the most probable.")
    layer: str = Field("", description="deconv: the layer to explain; empty: the card's last.")


class Label(BaseModel):
    """One class and how probable the model finds it."""

    label: str
    index: int
    probability: float


class Evidence(BaseModel):
    """One thing that the network saw in the image. A list of floats would be ten times as long and as slow."""

    map: int | None = Field(None, description="deconv: the index of the map in its layer.")
    strength: float | None = Field(None, description="deconv: the largest activation of the map.")
    png: Base64 = Field(description="A picture of it, PNG in base64.")
    shape: list[int] = Field(description="The shape of the values.")
    values: Base64 = Field(
        description="The numbers that the picture shows: float32, little-endian, row by row, in base64."
    )


class Explanation(BaseModel):
    """What the network looked at."""

    method: Literal["cam", "deconv"]
    label: str | None = Field(None, description="cam: the class that is explained.")
    index: int | None = Field(None, description="cam: its index.")
    layer: str | None = Field(None, description="deconv: the layer whose maps were projected back.")
    evidence: list[Evidence] = Field(description="cam: one entry; deconv: one for each map, the strongest first.")


class Classified(BaseModel):
    """The result for one image."""

    labels: list[Label] = Field(description="The most probable first.")
    explanation: Explanation | None = Field(None, description="Only if it was requested.")
