"""Captioning as a training task."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.captioning.recipe import CaptionerRecipe
from training.export.how import PLAIN, How
from training.task import Task

if TYPE_CHECKING:
    from service.package import Package
    from training.captioning.start import OpenedCaptioner
    from training.evaluation import Evaluation


class Captioning(Task[CaptionerRecipe]):
    """Images to sentences."""

    recipe = CaptionerRecipe
    whose = "a captioner's"

    def open(self, recipe: CaptionerRecipe, data: Path | None) -> "OpenedCaptioner":
        """See `Task`."""
        from training.captioning.start import OpenedCaptioner

        return OpenedCaptioner(recipe, data)

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
        from training.captioning.package import write_captioner
        from training.captioning.subject import from_run

        (run,) = runs
        return write_captioner(from_run(run, data), repository, name=name, version=version, replace=replace)

    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> "Evaluation":
        """See `Task`."""
        from training.captioning.evaluate import evaluate

        return evaluate(repository, name, version, data)
