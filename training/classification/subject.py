"""Reads what a classifier's package is made from: a run, or several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from models.classification.rows import find
from service.package import Dataset, InitialWeights, Preprocessing, Serving
from training.checkpoint import read_finished, tested
from training.classification.ensemble import Ensemble
from training.classification.graph import IMAGE
from training.classification.network import open_source
from training.classification.recipe import ClassifierRecipe
from training.data import Bytes, Split, split
from training.errors import ExportError
from training.history import Row

# The fewest images that no member was trained on, to measure an ensemble's temperature and int8 loss on.
FEWEST_HELD_OUT = 30
NOISE = 8  # images of noise, if there is no data set

V = TypeVar("V")


@dataclass(frozen=True)
class Subject:
    """A model and everything for its card except what the export measures.

    ``training`` are images to calibrate int8 on and ``validation`` images that the model was not trained on; both, and
    ``test``, are None without a data set. ``held_out`` says whether it is known that the model was not trained on
    ``validation``; otherwise its metrics there say nothing. ``mirrored`` says whether it was also trained on mirrored
    images. With ``temperature`` the export fits one, unless ``fitted_temperature`` is given. ``gate`` is the accuracy
    that it must reach. ``curve`` is the PNG of the learning curve if there is no ``history`` to draw it from.
    ``deconv`` says whether the package gets the deconvolution graph if the network supports it.
    """

    name: str
    title: str
    lecture: str
    description: str
    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    recipe: Mapping[str, Any]
    seed: int
    created: str
    libraries: Mapping[str, str]
    mirrored: bool = True
    temperature: bool = False
    fitted_temperature: float | None = None
    gate: float | None = None
    history: Sequence[Row] = ()
    curve: bytes | None = None
    deconv: bool = True
    serving: Serving = field(default_factory=Serving)
    dataset: Dataset | None = None
    trained_commit: str | None = None
    initial_weights: InitialWeights | None = None
    training: Split | None = None
    validation: Split | None = None
    test: Split | None = None
    held_out: bool = True

    @property
    def images(self) -> Bytes:
        """The images to compare the graph with torch on: validation images, else training images, else noise."""
        split = self.validation or self.training
        if split is not None:
            return split.images
        return np.random.default_rng(0).integers(0, 256, (NOISE, *self.image_shape), np.uint8)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one uint8 image: (H, W), or (H, W, 3)."""
        size = (self.preprocessing.height, self.preprocessing.width)
        return size if self.preprocessing.colour == "grey" else (*size, 3)


def from_run(run: Path, data: Path | None) -> Subject:
    """The finished run in the folder ``run``, whose data set is in ``data``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the run is of another task, or its data set has changed since.
        DataError: the data set cannot be obtained.
    """
    checkpoint, recipe = read_finished(run, ClassifierRecipe, "a classifier's")
    variant, source = find(recipe.model), open_source(recipe, data)
    test = source.test()
    dataset = tested(run, checkpoint, source, len(test))
    training, validation = split(recipe, source)
    return Subject(
        name=recipe.name,
        title=f"{variant.title} on {source.title}",
        lecture=variant.lecture,
        description=variant.description,
        model=checkpoint.model(),
        mean=source.mean,
        std=source.std,
        labels=source.labels,
        preprocessing=source.preprocessing(IMAGE),
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
        created=checkpoint.created,
        libraries=checkpoint.libraries,
        mirrored=recipe.augmentation.flip > 0,
        temperature=recipe.temperature,
        gate=recipe.gate.accuracy if recipe.gate else None,
        history=checkpoint.history,
        dataset=dataset,
        trained_commit=checkpoint.git_commit,
        initial_weights=checkpoint.initial_weights,
        training=training,
        validation=validation,
        test=test,
    )


def from_runs(runs: Sequence[Path], name: str | None, data: Path | None) -> Subject:
    """The single run of ``runs``, renamed to ``name`` if given, or the ensemble of all ``runs``, called ``name``.

    Raises:
        ExportError: the runs differ in labels or input, or the ensemble has no name.
        RunError, DataError: as `from_run`.
    """
    members = [from_run(run, data) for run in runs]
    first = members[0]
    if len(members) == 1:
        return replace(first, name=name or first.name)
    if name is None:
        raise ExportError(f"{len(runs)} runs make an ensemble; give it a --name")
    for run, member in zip(runs, members, strict=True):
        for what in ("labels", "preprocessing", "mean", "std"):
            if (theirs := getattr(member, what)) != (ours := getattr(first, what)):
                raise ExportError(f"{run}: its {what} is {theirs}; that of {runs[0]} is {ours}")
    titles = dict.fromkeys(member.title for member in members)
    return replace(
        first,
        name=name,
        title=f"{len(members)} networks as one: {'; '.join(titles)}",
        description="The mean of the members' probabilities. " + first.description,
        model=Ensemble([member.model for member in members]),
        recipe={"name": name, "members": [dict(member.recipe) for member in members]},
        created=max(member.created for member in members),
        mirrored=all(member.mirrored for member in members),
        temperature=any(member.temperature for member in members),
        gate=None,
        history=(),
        trained_commit=_shared([member.trained_commit for member in members]),
        initial_weights=_shared([member.initial_weights for member in members]),
        validation=held_out_by_all([member.validation for member in members if member.validation]),
    )


def _shared(values: Sequence[V]) -> V | None:
    """The value that all have; None if they differ."""
    return values[0] if all(value == values[0] for value in values) else None


def held_out_by_all(splits: Sequence[Split]) -> Split | None:
    """The images of the first split that are, byte for byte, in all splits; None if they are too few to measure on.

    Bootstrapped members leave out different examples; an example that one left out, another was trained on.
    """
    first, *others = splits
    known = [{image.tobytes() for image in split.images} for split in others]
    shared = np.array([all(image.tobytes() in split for split in known) for image in first.images], bool)
    return first[np.flatnonzero(shared)] if shared.sum() >= FEWEST_HELD_OUT else None
