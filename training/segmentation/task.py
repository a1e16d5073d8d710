"""Segmentation as a training task."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from training.export.how import PLAIN, How
from training.segmentation.recipe import SegmentationRecipe
from training.task import Task

if TYPE_CHECKING:
    from service.package import Package
    from training.evaluation import Evaluation
    from training.segmentation.start import OpenedSegmenter


class Segmentation(Task[SegmentationRecipe]):
    """A class for every pixel of an image."""

    recipe = SegmentationRecipe
    whose = "a segmentation network's"
    asks: ClassVar[frozenset[str]] = frozenset({"weights"})

    def open(self, recipe: SegmentationRecipe, data: Path | None) -> "OpenedSegmenter":
        """See `Task`."""
        from training.segmentation.start import OpenedSegmenter

        return OpenedSegmenter(recipe, data)

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
        from training.segmentation.package import write_segmenter
        from training.segmentation.subject import from_run

        (run,) = runs
        return write_segmenter(from_run(run, data), repository, how=how, name=name, version=version, replace=replace)

    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> "Evaluation":
        """See `Task`."""
        from training.segmentation.evaluate import evaluate

        return evaluate(repository, name, version, data)
