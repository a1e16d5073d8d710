"""Recipes of language recognisers."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from training.craft.gate import Gate
from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.craft.table import Count, Share
from training.data.mixture import Mixture, Pieces
from training.data.spelling import Spelling


class LanguageGate(Gate):
    """The least value of each metric; None: no limit."""

    bounded: ClassVar[tuple[Metric, ...]] = tuple(
        Metric(f"accuracy_{of}", "max")
        for of in ("everyday", "upper_case", "without_accents", "declaration", "declaration_20")
    )

    accuracy_everyday: Share | None = None
    accuracy_upper_case: Share | None = None
    accuracy_without_accents: Share | None = None
    accuracy_declaration: Share | None = None
    accuracy_declaration_20: Share | None = None


class LanguageRecipe(Recipe):
    """Trains on ``examples`` pieces of the texts of ``dataset``, of ``shortest`` to ``longest`` characters.

    A piece has at most ``most_bytes`` in UTF-8; a training step takes as long as its longest piece has bytes.
    ``mixture`` says which part of the texts pieces come from, and ``spelling`` how they are written.
    """

    task: Literal["classify-text"] = "classify-text"
    examples: Count = 56_000
    shortest: Count = 10
    longest: Count = 120
    most_bytes: Count = 96
    mixture: Mixture = Mixture()
    spelling: Spelling = Spelling()
    gate: LanguageGate | None = None

    @property
    def handicaps(self) -> tuple[str, ...]:
        """See `Recipe`."""
        return (*super().handicaps, *(("spelling",) if self.spelling != Spelling() else ()))

    @property
    def pieces(self) -> Pieces:
        """Which pieces are drawn."""
        return Pieces((self.shortest, self.longest), self.most_bytes, self.mixture, self.spelling)

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = {
            f"shortest is {self.shortest}; it must be at most longest, {self.longest}": self.shortest > self.longest,
            "epochs is 0; a language recogniser needs 1 or more": self.epochs == 0,
            'batch_size is "full"; a language recogniser needs a number': self.batch_size == "full",
            "augmentation applies to images; a language recogniser has none": bool(super().handicaps),
            f"mixture is {self.mixture.model_dump()}; at least one part must be above 0": not any(
                self.mixture.model_dump().values()
            ),
            "transfer (--weights) is not supported: a language recogniser starts from random weights": (
                self.transfer is not None
            ),
        }
        for problem, there in problems.items():
            if there:
                raise ValueError(problem)
        return self
