"""Reads an exported package to export it again, so that it gets what newer exports have without new training."""

from pathlib import Path

from pydantic import ValidationError
from torch import nn

from models.classification.rows import build
from models.weights import WeightsError
from service.package import ClassifyCard, Dataset, Package
from training.classification.graph import IMAGE
from training.classification.network import complete_config, open_source
from training.classification.recipe import ClassifierRecipe
from training.classification.subject import Subject
from training.data import Source, split
from training.errors import ExportError
from training.initial_weights import Found, find_weights
from training.packages import CURVE


def from_package(folder: Path, data: Path | None) -> Subject:
    """The classifier's package in ``folder``, ``<name>/<version>/``; its data set is in ``data``.

    Weights, labels, temperature, provenance, kinds of explanation, learning curve and serving settings stay; an int8
    graph gets a temperature of its own.

    Raises:
        ExportError: the package has another task, is quantised, or was not made from a single run; or the data set has
            changed since.
        DataError: the data set cannot be read.
    """
    try:
        found = find_weights(folder)
    except WeightsError as error:
        raise ExportError(str(error)) from error
    assert found.package is not None  # the folder has a card
    package, card = found.package, found.package.card
    if not isinstance(card, ClassifyCard):
        raise ExportError(f"{folder}: its task is {card.task!r}; only a classifier's package can be exported again")
    recipe = _recipe(folder, card)
    source = open_source(recipe, data)
    dataset = _checked_dataset(folder, card, source)
    training, validation = split(recipe, source)
    said = card.provenance
    return Subject(
        name=card.name,
        title=card.title,
        lecture=card.lecture,
        description=card.description,
        model=_network(recipe, source, len(training), found),
        mean=source.mean,
        std=source.std,
        labels=package.labels,
        preprocessing=source.preprocessing(IMAGE),
        recipe=said.recipe,
        seed=said.seed,
        created=said.created,
        libraries=said.libraries,
        mirrored=recipe.augmentation.flip > 0,
        temperature=recipe.temperature,
        fitted_temperature=said.temperature,
        gate=recipe.gate.accuracy if recipe.gate else None,
        curve=_curve(package),
        deconv=card.explain.deconv is not None,
        serving=card.serving,
        dataset=dataset,
        trained_commit=said.trained_commit,
        initial_weights=said.initial_weights,
        training=training,
        validation=validation,
        test=source.test(),
    )


def _recipe(folder: Path, card: ClassifyCard) -> ClassifierRecipe:
    try:
        return ClassifierRecipe.model_validate(card.provenance.recipe)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ExportError(
            f"{folder}: the recipe in its card is not the recipe of a single run ({where}: {problem['msg']}); "
            "export it from its runs or its file of weights"
        ) from error


def _checked_dataset(folder: Path, card: ClassifyCard, source: Source) -> Dataset:
    said = card.provenance.dataset
    if said is None or said.files != dict(source.files):
        raise ExportError(f"{folder}: the files of {source.name} differ from those in its card; train again")
    return said


def _network(recipe: ClassifierRecipe, source: Source, examples: int, found: Found) -> nn.Module:
    """The trained network, without the auxiliary heads, which packages do not have."""
    config = complete_config(recipe, source, examples)
    model = build(recipe.model, {**config, "auxiliary": False} if config.get("auxiliary") else config)
    try:
        found.give(model)
    except WeightsError as error:
        raise ExportError(str(error)) from error
    return model.eval()


def _curve(package: Package) -> bytes | None:
    path = package.path(CURVE)
    return path.read_bytes() if CURVE in package.card.files else None
