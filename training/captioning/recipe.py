"""Recipes of captioners."""

from typing import Annotated, Literal

from pydantic import Field

from training.craft.recipe import Recipe
from training.craft.table import Count, Fraction, NonNegative, Share, Table


class CaptionGate(Table):
    """The least of each metric, None where nothing is wanted of it."""

    bleu_1: Share | None = None
    bleu_4: Share | None = None
    exact_match: Share | None = None
    attention_mass: Share | None = None


class CaptionerRecipe(Recipe):
    """``dataset`` is one of images with captions; words that come ``min_count`` times in training have a token.

    ``transfer`` gives the encoder's backbone the weights of a classifier. ``scheduled_sampling`` is the share of words
    that the network reads of its own at the end of training, where others are the caption's (Bengio et al. 2015). With
    ``doubly_stochastic``, a decoder that attends is to look at every place once (Xu et al. 2015). With
    ``supervised_attention``, where the data set knows, it learns where to look for each word (Liu et al. 2017).
    ``beam_width`` is that of the measured captions, and of callers that don't say.
    """

    task: Literal["caption"] = "caption"
    min_count: Count = 1
    label_smoothing: Fraction = 0.0
    scheduled_sampling: Share = 0.0
    doubly_stochastic: NonNegative = 0.0
    supervised_attention: NonNegative = 0.0
    beam_width: Annotated[int, Field(ge=1, le=8)] = 3
    gate: CaptionGate | None = None

    @property
    def handicaps(self) -> tuple[str, ...]:
        """See `Recipe`."""
        found = {
            "label smoothing": self.label_smoothing > 0,
            "scheduled sampling": self.scheduled_sampling > 0,
            "the penalty on attention": self.doubly_stochastic + self.supervised_attention > 0,
        }
        return (*super().handicaps, *(name for name, there in found.items() if there))
