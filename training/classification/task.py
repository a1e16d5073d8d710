"""Classification as a training task."""

from collections.abc import Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING

from service.package import CARD
from training.classification.recipe import ClassifierRecipe
from training.export.how import PLAIN, How
from training.task import Task

if TYPE_CHECKING:
    from service.package import Package
    from training.classification.start import OpenedClassifier
    from training.classification.subject import Subject
    from training.evaluation import Evaluation


class Classification(Task[ClassifierRecipe]):
    """Images to one of several classes. A run may also be the folder of a package, to export it again."""

    recipe = ClassifierRecipe
    whose = "a classifier's"
    asks = frozenset({"weights", "temperature", "deconv"})
    joins = True
    exports_again = True
    measured_on_any = True

    def open(self, recipe: ClassifierRecipe, data: Path | None) -> "OpenedClassifier":
        """See `Task`."""
        from training.classification.start import OpenedClassifier

        return OpenedClassifier(recipe, data)

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
        """See `Task`."""
        from training.classification.package import write_package

        return write_package(_subject(runs, name, data), repository, how=how, version=version, replace=replace)

    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> "Evaluation":
        """See `Task`."""
        from training.classification.evaluate import evaluate

        return evaluate(repository, name, version, data, dataset)


def _subject(runs: Sequence[Path], name: str | None, data: Path | None) -> "Subject":
    from training.classification.exported import from_package
    from training.classification.subject import from_runs

    if len(runs) == 1 and (runs[0] / CARD).is_file():
        subject = from_package(runs[0], data)
        return replaced(subject, name=name or subject.name)
    return from_runs(runs, name, data)
