"""What may be asked of a captioner, and the typed answers."""

from typing import NamedTuple

from pydantic import BaseModel, Field

from service.tasks.answer import Base64, Timing

ATTENTIONS = ("none", "values", "png")


class CaptionOptions(NamedTuple):
    """Everything has a default: "" and None are the card's, or nothing.

    Attributes:
        strategy: ``greedy``, ``sample`` or ``beam``.
        beam_width, length_penalty, n_best: of beam search; ``n_best`` is how many captions are answered.
        temperature, top_k, top_p, seed: of sampling; without a seed each request gets another caption.
        max_words: of each caption.
        prefix: the first words, as ``a photo of``.
        attention: ``values`` or ``png``: what was looked at for each word, where the model says so.
    """

    strategy: str = ""
    beam_width: int | None = None
    length_penalty: float | None = None
    n_best: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    max_words: int | None = None
    prefix: str = ""
    attention: str = ""


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
