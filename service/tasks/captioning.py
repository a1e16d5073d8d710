"""The fields of a captioning request, and its typed answer."""

from pydantic import BaseModel, Field

from service.engine.options import MAX_SEED
from service.package.token_choice import STRATEGIES
from service.tasks.answer import Base64, Timing
from service.tasks.task import Ask

ATTENTIONS = ("none", "values", "png")


# These ranges hold for every model; the card of a model may have narrower ones.
class CaptionAsk(Ask):
    """An image, and how its captions are chosen. Without a seed, each sampled caption is a new one."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    strategy: str = Field(
        "",
        description="How each word is chosen; empty: the card's default. Options of other strategies are refused.",
        json_schema_extra={"enum": ["", *STRATEGIES]},
    )
    beam_width: int | None = Field(None, ge=1, description="beam: how many captions are tried at the same time.")
    length_penalty: float | None = Field(
        None, ge=0, description="beam: the exponent a of the length penalty ((5 + words) / 6)^a; 0: no penalty."
    )
    n_best: int | None = Field(None, ge=1, description="beam: how many captions are returned; empty: 1.")
    temperature: float | None = Field(None, gt=0, description="sample: the log-probabilities are divided by this.")
    top_k: int | None = Field(
        None, ge=0, description="sample: draw from this many of the most probable words; 0: from all."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="sample: draw from the most probable words that together have this probability."
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="sample: the seed of an earlier answer gives the same caption again."
    )
    max_words: int | None = Field(None, ge=1, description="The most words of a caption; empty: the card's default.")
    prefix: str = Field("", description="The caption's first words.", json_schema_extra={"examples": ["a photo of"]})
    attention: str = Field(
        "",
        description="How to show where the model looked for each word; empty: not at all.",
        json_schema_extra={"enum": ["", *ATTENTIONS]},
    )


class Attention(BaseModel):
    """Where in the image the model looked for a word: as numbers, or drawn over the image."""

    png: Base64 | None = Field(None, description="png: the image with the attention drawn over it, PNG in base64.")
    shape: list[int] | None = Field(None, description="values: height and width of the grid.")
    values: Base64 | None = Field(
        None, description="values: the numbers as float32, little-endian, row by row, in base64."
    )


class Word(BaseModel):
    """One word of a caption."""

    word: str
    log_probability: float = Field(description="As the model gives it, before it is divided by the temperature.")
    attention: Attention | None = Field(None, description="Only if it was requested.")


class Caption(BaseModel):
    """One caption."""

    text: str
    score: float = Field(
        description="The sum of the log-probabilities of its words and its end; beam: divided by the length penalty."
    )
    words: list[Word]


class Captioning(BaseModel):
    """The answer, with the model and version that gave it."""

    model: str
    version: str
    captions: list[Caption] = Field(description="The best first; only beam search gives several.")
    seed: int | None = Field(None, description="sample: a request with this seed gets the same caption.")
    timing: Timing
