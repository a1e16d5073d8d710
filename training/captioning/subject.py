"""Reads what a captioner's package is made from: a finished run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.captioning.network import CaptionNetwork
from models.registry import find
from service.package import Dataset, InitialWeights
from training.captioning.recipe import CaptionerRecipe
from training.captioning.start import split
from training.checkpoint import read_finished, tested
from training.data import CaptionSource, CaptionSplit, find_captions
from training.data.vocabulary import Vocabulary, build_vocabulary
from training.history import Row


@dataclass(frozen=True)
class CaptionSubject:
    """A trained captioner and everything for its card except what the export measures."""

    recipe: CaptionerRecipe
    title: str
    lecture: str
    description: str
    network: CaptionNetwork
    vocabulary: Vocabulary
    source: CaptionSource
    dataset: Dataset
    created: str
    libraries: Mapping[str, str]
    trained_commit: str
    initial_weights: InitialWeights | None
    history: Sequence[Row]
    validation: CaptionSplit
    test: CaptionSplit

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one uint8 image: (H, W), or (H, W, 3)."""
        return self.validation.images.shape[1:]

    def without_gate(self) -> "CaptionSubject":
        """The same subject with a recipe without a gate."""
        return replace(self, recipe=self.recipe.model_copy(update={"gate": None}))


def from_run(run: Path, data: Path | None) -> CaptionSubject:
    """The finished run of a captioner in the folder ``run``, whose data set is in ``data``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the run is of another task, or its data set has changed since.
        DataError: the data set cannot be obtained.
    """
    checkpoint, recipe = read_finished(run, CaptionerRecipe, "a captioner's")
    source, row = find_captions(recipe.dataset, data), find(recipe.model)
    (training, validation), test = split(recipe, source), source.test()
    network = checkpoint.model()
    assert isinstance(network, CaptionNetwork)
    return CaptionSubject(
        recipe=recipe,
        title=f"{row.title} on {source.title}",
        lecture=row.lecture,
        description=row.description,
        network=network,
        vocabulary=build_vocabulary(training.captions, recipe.min_count),
        source=source,
        dataset=tested(run, checkpoint, source, len(test)),
        created=checkpoint.created,
        libraries=checkpoint.libraries,
        trained_commit=checkpoint.git_commit,
        initial_weights=checkpoint.initial_weights,
        history=checkpoint.history,
        validation=validation,
        test=test,
    )
