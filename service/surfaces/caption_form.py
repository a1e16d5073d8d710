"""The form of the caption endpoints."""

from typing import ClassVar

from pydantic import Field

from service.engine.options import MAX_SEED
from service.package.choice import STRATEGIES
from service.surfaces.task_form import FilesForm, ImageForm
from service.tasks.captioning import ATTENTIONS

_STRATEGY = "How each word is chosen; empty: the card's default. Options of another strategy than this are refused."


# The ranges of each option are those of any model; the card of the model that is asked has narrower ones.
class _OptionsForm(FilesForm):
    whole_numbers: ClassVar[frozenset[str]] = frozenset({"beam_width", "n_best", "top_k", "seed", "max_words"})
    numbers: ClassVar[frozenset[str]] = frozenset({"length_penalty", "temperature", "top_p"})

    strategy: str = Field("", description=_STRATEGY, json_schema_extra={"enum": ["", *STRATEGIES]})
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


class CaptionForm(_OptionsForm, ImageForm):
    """The fields of `/v1/caption` and `/v1/caption/stream`."""
