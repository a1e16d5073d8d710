"""What may be asked of a classifier of images, and what is said of one."""

from typing import Literal

from pydantic import BaseModel, Field

from service.package import VIEWS
from service.tasks.answer import Base64
from service.tasks.task import Ask


class ClassifyAsk(Ask):
    """An image, and how its labels are wanted."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    top_k: int | None = Field(None, ge=1, description="How many labels; empty: the card's default.")
    views: str = Field(
        "",
        description="What the answer is averaged over; empty: the card's default.",
        json_schema_extra={"enum": ["", *VIEWS]},
    )
    explain: str = Field(
        "",
        description="Show what the network looked at: a class activation map, or what drives a layer; empty: nothing.",
        json_schema_extra={"enum": ["", "cam", "deconv"]},
    )
    explain_label: str = Field("", description="cam: the label, or its index, to explain; empty: the most probable.")
    layer: str = Field("", description="deconv: the layer to explain; empty: the card's last.")


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
