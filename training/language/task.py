"""Language recognition as a training task."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.export.how import PLAIN, How
from training.language.recipe import LanguageRecipe
from training.task import Task

if TYPE_CHECKING:
    from service.package import Package
    from training.evaluation import Evaluation
    from training.language.start import OpenedRecogniser


class LanguageRecognition(Task[LanguageRecipe]):
    """Texts to their language. The texts are part of the code, so no folder of data is read."""

    recipe = LanguageRecipe
    whose = "a language recogniser's"

    def open(self, recipe: LanguageRecipe, data: Path | None) -> "OpenedRecogniser":
        """See `Task`."""
        from training.language.start import OpenedRecogniser

        return OpenedRecogniser(recipe)

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
        from training.language.package import from_run, write_recogniser

        (run,) = runs
        return write_recogniser(from_run(run), repository, name=name, version=version, replace=replace)

    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> "Evaluation":
        """See `Task`."""
        from training.language.evaluate import evaluate

        return evaluate(repository, name, version)
