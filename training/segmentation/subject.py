"""Reads what a segmentation network's package is made from: a finished run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.registry import find
from models.segmentation.segmenter import Segmenter
from service.package import Dataset, InitialWeights
from training.checkpoint import read_finished, tested
from training.data import MaskSource, MaskSplit
from training.data.catalogue import find_masks
from training.history import Row
from training.segmentation.recipe import SegmentationRecipe
from training.segmentation.start import split


@dataclass(frozen=True)
class SegmentationSubject:
    """A trained segmentation network and everything for its card except what the export measures."""

    recipe: SegmentationRecipe
    title: str
    lecture: str
    description: str
    network: Segmenter
    source: MaskSource
    dataset: Dataset
    created: str
    libraries: Mapping[str, str]
    trained_commit: str
    initial_weights: InitialWeights | None
    history: Sequence[Row]

    @cached_property
    def splits(self) -> tuple[MaskSplit, MaskSplit]:
        """The examples that it was trained on, and those that it was validated on."""
        return split(self.recipe, self.source)


def from_run(run: Path, data: Path | None) -> SegmentationSubject:
    """The finished run of a segmentation network in the folder ``run``, whose data set is in ``data``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the run is of another task, or its data set has changed since.
        DataError: the data set cannot be obtained.
    """
    checkpoint, recipe = read_finished(run, SegmentationRecipe, "a segmentation network's")
    source, row, network = find_masks(recipe.dataset, data), find(recipe.model), checkpoint.model()
    assert isinstance(network, Segmenter)
    return SegmentationSubject(
        recipe=recipe,
        title=f"{row.title} on {source.title}",
        lecture=row.lecture,
        description=row.description,
        network=network,
        source=source,
        dataset=tested(run, checkpoint, source, len(source.test())),
        created=checkpoint.created,
        libraries=checkpoint.libraries,
        trained_commit=checkpoint.git_commit,
        initial_weights=checkpoint.initial_weights,
        history=checkpoint.history,
    )
