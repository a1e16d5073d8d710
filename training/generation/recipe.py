"""Recipes of generative networks."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from training.craft.gate import Gate
from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.craft.table import Count
from training.data import Fold

# Minus a bound on the log-likelihood: below 0 for densities of pixels that are real numbers.
LOSS = Metric("loss", "min")
NATS = Metric("nats", "min")


class GenerationGate(Gate):
    """The greatest value of each metric; None: no limit."""

    bounded: ClassVar[tuple[Metric, ...]] = (NATS,)

    nats: float | None = None


class GenerationRecipe(Recipe):
    """``dataset`` is one of images by class; a network without classes is not told them.

    ``validation`` is the number of training examples held out, or their share. ``beta`` weighs a VAE's divergence from
    the prior; with 1, the loss is minus the bound on the log-likelihood.
    """

    task: Literal["generate"] = "generate"
    validation: Count | Annotated[float, Field(gt=0, lt=1)] = 5_000
    beta: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    gate: GenerationGate | None = None
    # What a classifier's recipe may say too, and `training.data.split` reads.
    fold: ClassVar[Fold | None] = None
    bootstrap: ClassVar[bool] = False

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """See `Recipe`."""
        return (LOSS,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = {
            'batch_size is "full"; a generative network needs a number': self.batch_size == "full",
            "transfer is given; a generative network starts from random weights": self.transfer is not None,
        }
        for problem, there in problems.items():
            if there:
                raise ValueError(problem)
        return self
