"""The form of the caption endpoints."""

from typing import ClassVar

from pydantic import Field

from service.package.choice import STRATEGIES
from service.surfaces.task_form import FilesForm, ImageForm
from service.tasks.captioning import ATTENTIONS

_STRATEGY = "How each word is chosen; empty: the card's default. Options of another strategy than this are refused."


class _OptionsForm(FilesForm):
    whole_numbers: ClassVar[frozenset[str]] = frozenset({"beam_width", "n_best", "top_k", "seed", "max_words"})
    numbers: ClassVar[frozenset[str]] = frozenset({"length_penalty", "temperature", "top_p"})

    strategy: str = Field("", description=_STRATEGY, json_schema_extra={"enum": ["", *STRATEGIES]})
    beam_width: int | None = Field(None, description="beam: captions followed at once.")
    length_penalty: float | None = Field(None, description="beam: the exponent a of ((5 + words) / 6)^a; 0: none.")
    n_best: int | None = Field(None, description="beam: captions answered; empty: 1.")
    temperature: float | None = Field(None, description="sample: what log-probabilities are divided by.")
    top_k: int | None = Field(None, description="sample: of so many of the most probable words; 0: of all.")
    top_p: float | None = Field(None, description="sample: of the most probable words with this probability together.")
    seed: int | None = Field(None, description="sample: the seed of an earlier answer gives its caption again.")
    max_words: int | None = Field(None, description="Most words of a caption; empty: the card's default.")
    prefix: str = Field("", description="The caption's first words.", json_schema_extra={"examples": ["a photo of"]})
    attention: str = Field(
        "", description="Show what was looked at for each word.", json_schema_extra={"enum": ["", *ATTENTIONS]}
    )


class CaptionForm(_OptionsForm, ImageForm):
    """The fields of `/v1/caption` and `/v1/caption/stream`."""
