"""What may be asked of a captioner, and the typed answers."""

from pydantic import BaseModel, Field

from service.engine.options import MAX_SEED
from service.package.token_choice import STRATEGIES
from service.tasks.answer import Base64, Timing
from service.tasks.task import Ask

ATTENTIONS = ("none", "values", "png")


# The ranges of each option are those of any model; the card of the model that is asked has narrower ones.
class CaptionAsk(Ask):
    """An image, and how its captions are searched for; without a seed each that is sampled is another one."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    strategy: str = Field(
        "",
        description="How each word is chosen; empty: the card's default. Options of another strategy than this are "
        "refused.",
        json_schema_extra={"enum": ["", *STRATEGIES]},
    )
    beam_width: int | None = Field(None, ge=1, description="beam: captions followed at once.")
    length_penalty: float | None = Field(
        None, ge=0, description="beam: the exponent a of ((5 + words) / 6)^a; 0: none."
    )
    n_best: int | None = Field(None, ge=1, description="beam: captions answered; empty: 1.")
    temperature: float | None = Field(None, gt=0, description="sample: what log-probabilities are divided by.")
    top_k: int | None = Field(None, ge=0, description="sample: of so many of the most probable words; 0: of all.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="sample: of the most probable words with this probability together."
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="sample: the seed of an earlier answer gives its caption again."
    )
    max_words: int | None = Field(None, ge=1, description="Most words of a caption; empty: the card's default.")
    prefix: str = Field("", description="The caption's first words.", json_schema_extra={"examples": ["a photo of"]})
    attention: str = Field(
        "", description="Show what was looked at for each word.", json_schema_extra={"enum": ["", *ATTENTIONS]}
    )


class Attention(BaseModel):
    """Where in the image was looked for a word: as values, or drawn over the image."""

    png: Base64 | None = Field(None, description="png: the image under the attention, PNG in base64.")
    shape: list[int] | None = Field(None, description="values: the grid's height and width.")
    values: Base64 | None = Field(None, description="values: float32, little-endian, row by row, in base64.")


class Word(BaseModel):
    """One word of a caption."""

    word: str
    log_probability: float = Field(description="The model's own, whatever the temperature.")
    attention: Attention | None = Field(None, description="Where it was asked for.")


class Caption(BaseModel):
    """One caption."""

    text: str
    score: float = Field(
        description="The sum of its words' log-probabilities and its end's; beam: over the length penalty."
    )
    words: list[Word]


class Captioning(BaseModel):
    """The answer, with the model and version that gave it."""

    model: str
    version: str
    captions: list[Caption] = Field(description="The best first; one, but for beam search.")
    seed: int | None = Field(None, description="sample: gives the same caption again.")
    timing: Timing
