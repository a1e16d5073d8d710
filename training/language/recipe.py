"""Recipes of recognisers of languages."""

from typing import Literal, Self

from pydantic import model_validator

from training.craft.recipe import AccuracyGate, Recipe
from training.craft.table import Count


class LanguageRecipe(Recipe):
    """``examples`` pieces of the sentences of ``dataset`` are trained on, of ``shortest`` to ``longest`` characters."""

    task: Literal["classify-text"] = "classify-text"
    examples: Count = 56_000
    shortest: Count = 10
    longest: Count = 120
    gate: AccuracyGate | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        wanted = {
            "shortest to be at most longest": self.shortest <= self.longest,
            "one epoch or more": self.epochs > 0,
            "batches, and an optimiser of batches": self.batch_size != "full",
            "no augmentation, which is of images": not super().handicaps,
            "no transfer (--weights), for it starts from random weights": self.transfer is None,
        }
        for words, given in wanted.items():
            if not given:
                raise ValueError(f"wanted {words}")
        return self
