"""The fields of a request for samples, and its typed answer."""

from pydantic import BaseModel, Field

from service.engine.options import MAX_SEED
from service.tasks.answer import Base64, Timing
from service.tasks.task import Ask

OUTPUTS = ("images", "grid")


# These ranges hold for every model; the card of a model may have narrower ones.
class GenerateAsk(Ask):
    """How many samples, and of what. Without a seed, they are new ones each time."""

    count: int | None = Field(None, ge=1, description="How many samples; empty: the card's default.")
    label: str = Field(
        "",
        description="The class of the samples, or its index; empty: of any class, or of all in turn if the model only "
        "makes samples of a class.",
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="The seed of an earlier answer gives its samples.")
    steps: int | None = Field(
        None, ge=1, description="In how many steps the samples are made; empty: the card's default."
    )
    guidance: float | None = Field(
        None,
        ge=0,
        description="How much the label outweighs no label: 1 is the model as trained; empty: the card's default.",
    )
    temperature: float | None = Field(
        None, ge=0, description="Below 1, likelier samples are drawn; empty: the card's default."
    )
    truncation: float | None = Field(
        None, ge=0, description="The factor of the random numbers: below 1, samples vary less; empty: the card's."
    )
    output: str = Field(
        "",
        description="images: a picture of each sample; grid: one picture of all; empty: images.",
        json_schema_extra={"enum": ["", *OUTPUTS]},
    )


class GenerateStepsAsk(GenerateAsk):
    """The same, and how often to show the samples on the way."""

    every: int | None = Field(
        None, ge=1, description="After how many steps the samples are shown each time; empty: ten times in all."
    )


class Preview(BaseModel):
    """How far the samples are."""

    step: int = Field(description="How many steps have been taken.")
    steps: int = Field(description="Of how many.")
    grid: Base64 | None = Field(
        None, description="All samples as they look by now in one PNG file, in base64; empty if the model cannot say."
    )


class Generation(BaseModel):
    """The answer, with the model and version that gave it."""

    model: str
    version: str
    images: list[Base64] = Field([], description="images: each sample as a PNG file, in base64.")
    grid: Base64 | None = Field(None, description="grid: all samples in one PNG file, row by row, in base64.")
    height: int = Field(description="Of a sample, in pixels.")
    width: int
    labels: list[str] = Field([], description="The class of each sample; empty if none was chosen.")
    seed: int = Field(description="A request with this seed and the same options gives the same samples.")
    steps: int = Field(description="How many steps were taken.")
    timing: Timing
