"""Recipes of captioners."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from training.craft.gate import Gate
from training.craft.metric import ACCURACY, LOSS, Metric
from training.craft.recipe import Recipe
from training.craft.table import Count, Fraction, NonNegative, Share, Whole

# Of greedy captions on the first validation images, after every epoch.
CIDER_D = Metric("cider_d", "max", trained=False)


class CaptionGate(Gate):
    """The least value of each metric; None: no limit."""

    bounded: ClassVar[tuple[Metric, ...]] = tuple(
        Metric(name, "max") for name in ("bleu_1", "bleu_4", "exact_match", "attention_mass")
    )

    bleu_1: Share | None = None
    bleu_4: Share | None = None
    exact_match: Share | None = None
    attention_mass: Share | None = None


class CaptionerRecipe(Recipe):
    """``dataset`` is one of images with captions; words that occur ``min_count`` times in training have a token.

    ``transfer`` gives the encoder's backbone the weights of a classifier, or, with ``fresh = []``, the whole network
    those of a captioner. ``scheduled_sampling`` is the share of words that the network reads from its own predictions
    at the end of training, instead of from the caption (Bengio et al. 2015). ``doubly_stochastic`` weights a penalty
    that makes a decoder with attention look at every place once (Xu et al. 2015). ``supervised_attention`` weights a
    loss that teaches it where to look for each word, if the data set knows (Liu et al. 2017). ``self_critical`` is the
    number of captions that it draws of each image, to learn from their rewards (Rennie et al. 2017; 0: off).
    ``beam_width`` is the width for requests that ask for beam search and give none.
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
    def metrics(self) -> tuple[Metric, ...]:
        """See `Recipe`."""
        return LOSS, ACCURACY, CIDER_D

    @property
    def comparable(self) -> bool:
        """See `Recipe`."""
        return not self.self_critical  # the training loss is that of the network's own captions

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
            raise ValueError("self_critical is 1; it compares captions of an image, so it must be 2 or more, or 0")
        if self.self_critical and (asked := [name for name, value in others.items() if value]):
            raise ValueError(f"self_critical excludes {', '.join(asked)}, which apply to people's captions only")
        return self
