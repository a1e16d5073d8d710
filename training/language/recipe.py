"""Recipes of language recognisers."""

from typing import Literal, Self

from pydantic import model_validator

from training.craft.recipe import AccuracyGate, Recipe
from training.craft.table import Count


class LanguageRecipe(Recipe):
    """Trains on ``examples`` pieces of the sentences of ``dataset``, of ``shortest`` to ``longest`` characters."""

    task: Literal["classify-text"] = "classify-text"
    examples: Count = 56_000
    shortest: Count = 10
    longest: Count = 120
    gate: AccuracyGate | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = {
            f"shortest is {self.shortest}; it must be at most longest, {self.longest}": self.shortest > self.longest,
            "epochs is 0; a language recogniser needs 1 or more": self.epochs == 0,
            'batch_size is "full"; a language recogniser needs a number': self.batch_size == "full",
            "augmentation applies to images; a language recogniser has none": bool(super().handicaps),
            "transfer (--weights) is not supported: a language recogniser starts from random weights": (
                self.transfer is not None
            ),
        }
        for problem, there in problems.items():
            if there:
                raise ValueError(problem)
        return self
