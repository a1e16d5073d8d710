"""Reads what a generative network's package is made from: a finished run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.generation.vae import VAE
from models.registry import find
from service.package import Dataset, InitialWeights
from training.checkpoint import read_finished, tested
from training.data import Source, Split, split
from training.generation.recipe import GenerationRecipe
from training.generation.start import open_source
from training.history import Row


@dataclass(frozen=True)
class GenerationSubject:
    """A trained generative network and everything for its card except what the export measures."""

    recipe: GenerationRecipe
    title: str
    lecture: str
    description: str
    network: VAE
    source: Source
    dataset: Dataset
    created: str
    libraries: Mapping[str, str]
    trained_commit: str
    initial_weights: InitialWeights | None
    history: Sequence[Row]

    @cached_property
    def validation(self) -> Split:
        """The examples that it was validated on."""
        return split(self.recipe, self.source)[1]


def from_run(run: Path, data: Path | None) -> GenerationSubject:
    """The finished run of a generative network in the folder ``run``, whose data set is in ``data``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the run is of another task, or its data set has changed since.
        DataError: the data set cannot be obtained.
    """
    checkpoint, recipe = read_finished(run, GenerationRecipe, "a generative network's")
    source, row, network = open_source(recipe, data), find(recipe.model), checkpoint.model()
    assert isinstance(network, VAE)
    return GenerationSubject(
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
