"""Bagging: members of one recipe, each trained on its own draw of the examples (I2DL VIII.2; Breiman 1996)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.classification.recipe import ClassifierRecipe
from training.errors import RecipeError
from training.fit import fit
from training.search.space import changed


@dataclass(frozen=True)
class Member:
    """A member's run, and its accuracy on the examples that its draw left out, after its last epoch.

    An epoch that was kept as the best on these examples would look better than it is.
    """

    run: Path
    epochs: int
    accuracy: float

    def __str__(self) -> str:
        return f"{self.run}: accuracy {self.accuracy:.4f} on what it did not draw, after {self.epochs} epochs"


def bag(recipe: ClassifierRecipe, members: int, folder: Path, data: Path | None = None) -> Iterator[Member]:
    """Train ``members`` runs ``<folder>/<name>-bag-<i>``, each on as many examples, drawn with replacement.

    A member's seed is the recipe's plus its number, so that it also has its own initial weights. Finished runs are not
    trained again. `lectorium export RUN...` makes one package of them.

    Raises:
        RecipeError: there are fewer than two members, or the recipe's name is too long to be numbered.
        DataError: the data set cannot be obtained, or the recipe is of a fold.
        RunError: a folder holds a run of another recipe.
    """
    if members < 2:
        raise RecipeError(f"members is {members}; bagging needs 2 or more")
    for index in range(members):
        name = f"{recipe.name}-bag-{index}"
        member = changed(recipe, {"name": name, "bootstrap": True, "seed": recipe.seed + index})
        done = fit(member, folder / name, data)
        yield Member(folder / name, len(done.history), done.history[-1][recipe.headline.validation])
