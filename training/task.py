"""What a training task is: its recipe, how a run starts, how a finished run becomes a package, how that is measured."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from training.craft.recipe import Recipe
from training.export.how import PLAIN, How

if TYPE_CHECKING:
    from service.package import Package
    from training.evaluation import Evaluation
    from training.start import Opened

R = TypeVar("R", bound=Recipe)


class Task(ABC, Generic[R]):
    """One task of training, a row of `training.tasks.TASKS`.

    The table is read wherever a recipe is, by those modules too that a task is made of. A task therefore imports only
    its recipe at once, and everything else in its methods.
    """

    recipe: type[R]
    whose: ClassVar[str]  # the owner of such a recipe or run, for messages: "a classifier's"
    asks: ClassVar[frozenset[str]] = frozenset()  # the fields of `How` that its export can be asked for
    joins: ClassVar[bool] = False  # whether several runs can be exported as one package
    exports_again: ClassVar[bool] = False  # whether a package's folder may stand for the run it was made from
    measured_on_any: ClassVar[bool] = False  # whether `evaluate` can measure it on another data set than its card's

    @property
    def name(self) -> str:
        """The task's name, in recipes and on cards."""
        name: str = self.recipe.model_fields["task"].default
        return name

    @abstractmethod
    def open(self, recipe: R, data: Path | None) -> "Opened":
        """``recipe`` with its data set opened; published data sets are in the folder ``data``.

        Raises:
            RecipeError: there is no such model, or it does not fit the recipe.
            DataError: there is no such data set, or it cannot be obtained.
        """

    @abstractmethod
    def export(
        self,
        runs: Sequence[Path],
        repository: Path,
        data: Path | None,
        *,
        how: How = PLAIN,
        name: str | None = None,
        version: int | None = None,
        replace: bool = False,
    ) -> "Package":
        """Write the package of the finished ``runs``, one unless the task `joins` several, into ``repository``.

        Its name is ``name``, by default the recipe's.

        Raises:
            RunError: a folder holds no finished run.
            ExportError: a run is of another task, its data have changed since, or the package must not be written.
            DataError: the data set cannot be obtained.
        """

    @abstractmethod
    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> "Evaluation":
        """Measure the package ``name`` (its newest version unless given) through the serving engine.

        It is measured on the test split of the data set that its card names, or of ``dataset`` if it is
        `measured_on_any`.

        Raises:
            EvaluationError: there is no such package, or its data set is not found or has changed.
            InvalidPackage: the package contradicts itself.
            DataError: the test split cannot be obtained.
        """
