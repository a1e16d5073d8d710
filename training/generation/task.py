"""Sample generation as a training task."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.export.how import PLAIN, How
from training.generation.recipe import GenerationRecipe
from training.task import Task

if TYPE_CHECKING:
    from service.package import Package
    from training.evaluation import Evaluation
    from training.generation.start import OpenedGenerator


class Generation(Task[GenerationRecipe]):
    """New images, drawn from what a network has learnt."""

    recipe = GenerationRecipe
    whose = "a generative network's"

    def open(self, recipe: GenerationRecipe, data: Path | None) -> "OpenedGenerator":
        """See `Task`."""
        from training.generation.start import OpenedGenerator

        return OpenedGenerator(recipe, data)

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
        from training.generation.package import write_generator
        from training.generation.subject import from_run

        (run,) = runs
        return write_generator(from_run(run, data), repository, name=name, version=version, replace=replace)

    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> "Evaluation":
        """See `Task`."""
        from training.generation.evaluate import evaluate

        return evaluate(repository, name, version, data)
