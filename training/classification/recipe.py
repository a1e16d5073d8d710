"""Recipes of classifiers."""

from typing import Annotated, Literal

from pydantic import Field

from training.craft.gate import AccuracyGate
from training.craft.loss import Loss
from training.craft.noise import Noise
from training.craft.penalty import Penalty
from training.craft.recipe import Recipe
from training.craft.table import Count
from training.data import Fold


class ClassifierRecipe(Recipe):
    """``dataset`` is the name of a published data set, or a folder of images by class.

    ``classes``, if given, selects some of its classes. ``validation`` is the number of training examples held out, or
    their share; ``fold`` and ``bootstrap`` hold out others instead. With ``temperature``, the export calibrates the
    probabilities on the validation split (Guo et al. 2017), if that helps there.
    """

    task: Literal["classify"] = "classify"
    classes: tuple[str, ...] = ()
    validation: Count | Annotated[float, Field(gt=0, lt=1)] = 5_000
    fold: Fold | None = None
    bootstrap: bool = False
    noise: Noise = Noise()
    loss: Loss = Loss()
    penalty: Penalty = Penalty()
    temperature: bool = False
    gate: AccuracyGate | None = None

    @property
    def handicaps(self) -> tuple[str, ...]:
        """See `Recipe`."""
        found = {
            "noise": self.noise != Noise(),
            "label smoothing": self.loss.label_smoothing > 0,
            f"the {self.loss.name} loss": self.loss.name != "cross_entropy",
        }
        return (*super().handicaps, *(name for name, there in found.items() if there))
