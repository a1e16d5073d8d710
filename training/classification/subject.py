"""What a package is made from: a run, or several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from models.classification.rows import find
from service.package import Dataset, InitialWeights, Preprocessing
from training.checkpoint import read_finished, tested
from training.classification.ensemble import Ensemble
from training.classification.graph import IMAGE
from training.classification.network import open_source
from training.classification.recipe import ClassifierRecipe
from training.data import Bytes, Split, cut
from training.errors import ExportError
from training.history import Row

# An ensemble's temperature and its int8 loss are measured on what none of its members was trained on.
FEWEST_HELD_OUT = 30
NOISE = 8  # images, where there are none


@dataclass(frozen=True)
class Subject:
    """A model and everything that its card will say of it, but for what is measured.

    ``training`` are images that may be calibrated on, ``validation`` images that it was not trained on; both are None
    where there are no data, and so is ``test``. ``mirrored``: it has learnt from mirror images too. ``gate`` is the
    accuracy it must reach.
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
    gate: float | None = None
    history: Sequence[Row] = ()
    dataset: Dataset | None = None
    initial_weights: InitialWeights | None = None
    training: Split | None = None
    validation: Split | None = None
    test: Split | None = None

    @property
    def images(self) -> Bytes:
        """What the graph is proved on: the validation images, else training images, else noise."""
        split = self.validation or self.training
        if split is not None:
            return split.images
        return np.random.default_rng(0).integers(0, 256, (NOISE, *self.image_shape), np.uint8)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one row in uint8: (H, W), or (H, W, 3)."""
        size = (self.preprocessing.height, self.preprocessing.width)
        return size if self.preprocessing.colour == "grey" else (*size, 3)


def from_run(run: Path, data: Path | None) -> Subject:
    """The finished run in the folder ``run``, whose data set lies in ``data``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: it is of another task, or the data set is another than the run was trained on.
        DataError: it cannot be had.
    """
    checkpoint, recipe = read_finished(run, ClassifierRecipe, "a classifier's")
    variant, source = find(recipe.model), open_source(recipe, data)
    test = source.test()
    dataset = tested(run, checkpoint, source, len(test))
    training, validation = cut(
        source,
        validation=recipe.validation,
        seed=recipe.seed,
        fold=recipe.fold,
        bootstrap=recipe.bootstrap,
        examples=recipe.examples,
    )
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
        initial_weights=checkpoint.initial_weights,
        training=training,
        validation=validation,
        test=test,
    )


def from_runs(runs: Sequence[Path], name: str | None, data: Path | None) -> Subject:
    """The one run of ``runs``, under another ``name`` if one is given, or the ensemble ``name`` of them all.

    Raises:
        ExportError: they differ in labels, input or data set, or the ensemble has no name.
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
            if (came := getattr(member, what)) != (wanted := getattr(first, what)):
                raise ExportError(f"{run}: its {what} are {came}, those of {runs[0]} are {wanted}")
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
        initial_weights=first.initial_weights if len({member.initial_weights for member in members}) == 1 else None,
        validation=held_out_by_all([member.validation for member in members if member.validation]),
    )


def held_out_by_all(splits: Sequence[Split]) -> Split | None:
    """The images of the first split that are in all of them, byte for byte; None where they are too few to measure on.

    Bootstrapped members leave out different examples, and what one left out another was trained on.
    """
    first, *others = splits
    known = [{image.tobytes() for image in split.images} for split in others]
    shared = np.array([all(image.tobytes() in split for split in known) for image in first.images], bool)
    return first[np.flatnonzero(shared)] if shared.sum() >= FEWEST_HELD_OUT else None
