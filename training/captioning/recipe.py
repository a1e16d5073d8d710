"""Recipes of captioners."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.craft.recipe import Recipe
from training.craft.table import Count, Fraction, NonNegative, Share, Table, Whole


class CaptionGate(Table):
    """The least of each metric, None where nothing is wanted of it."""

    bleu_1: Share | None = None
    bleu_4: Share | None = None
    exact_match: Share | None = None
    attention_mass: Share | None = None


class CaptionerRecipe(Recipe):
    """``dataset`` is one of images with captions; words that come ``min_count`` times in training have a token.

    ``transfer`` gives the encoder's backbone the weights of a classifier, or, with ``fresh = []``, the whole network
    those of a captioner. ``scheduled_sampling`` is the share of words
    that the network reads of its own at the end of training, where others are the caption's (Bengio et al. 2015). With
    ``doubly_stochastic``, a decoder that attends is to look at every place once (Xu et al. 2015). With
    ``supervised_attention``, where the data set knows, it learns where to look for each word (Liu et al. 2017). With
    ``self_critical``, it learns from the worth of so many captions of its own of each image (Rennie et al. 2017).
    ``beam_width`` is that of the measured captions, and of callers that don't say.
    """

    task: Literal["caption"] = "caption"
    min_count: Count = 1
    label_smoothing: Fraction = 0.0
    scheduled_sampling: Share = 0.0
    doubly_stochastic: NonNegative = 0.0
    supervised_attention: NonNegative = 0.0
    self_critical: Whole = 0
    beam_width: Annotated[int, Field(ge=1, le=8)] = 3
    gate: CaptionGate | None = None

    @property
    def comparable(self) -> bool:
        """See `Recipe`."""
        return not self.self_critical  # training's is of captions of its own

    @property
    def handicaps(self) -> tuple[str, ...]:
        """See `Recipe`."""
        found = {
            "label smoothing": self.label_smoothing > 0,
            "scheduled sampling": self.scheduled_sampling > 0,
            "the penalty on attention": self.doubly_stochastic + self.supervised_attention > 0,
        }
        return (*super().handicaps, *(name for name, there in found.items() if there))

    @model_validator(mode="after")
    def _check_self_critical(self) -> Self:
        others = {
            "label_smoothing": self.label_smoothing,
            "scheduled_sampling": self.scheduled_sampling,
            "doubly_stochastic": self.doubly_stochastic,
            "supervised_attention": self.supervised_attention,
        }
        if self.self_critical == 1:
            raise ValueError("self_critical compares captions of an image with each other; wanted 2 or more, or 0")
        if self.self_critical and (asked := [name for name, value in others.items() if value]):
            raise ValueError(f"self_critical learns from captions of its own; {', '.join(asked)} are of people's")
        return self
