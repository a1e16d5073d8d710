"""Fits a classifier's network to its data, and loads its initial weights."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.classification.rows import VARIANTS, find
from models.variant import Variant
from models.weights import WeightsError
from service.nearest import did_you_mean
from training.classification.recipe import ClassifierRecipe
from training.craft.transfer import Transfer, freeze
from training.data import Shape, Source, find_source
from training.errors import RecipeError
from training.initial_weights import Started, find_weights


def open_source(recipe: ClassifierRecipe, data: Path | None) -> Source:
    """The recipe's data set, prepared for its model.

    Raises:
        RecipeError: there is no such model.
        DataError: there is no such data set, or it cannot be obtained.
    """
    return find_source(recipe.dataset, input_shape(recipe), data, recipe.classes)


def input_shape(recipe: ClassifierRecipe) -> Shape:
    """Channels, height and width of the images that the recipe's model takes.

    Raises:
        RecipeError: there is no such model, or its ``channels`` is not a whole number.
    """
    channels, height, width = _variant(recipe).input_shape
    said = recipe.config.get("channels", channels)
    if not isinstance(said, int):
        raise RecipeError(f"recipe {recipe.name!r}: config.channels is {said!r}; it must be a whole number")
    return said, height, width


def complete_config(recipe: ClassifierRecipe, source: Source, examples: int) -> dict[str, Any]:
    """The recipe's ``config`` with the number of classes of ``source``, and of ``examples`` as the rows to store.

    Each is added only if the model's family has such a value and the recipe does not set it.
    """
    known = signature(_variant(recipe).family).parameters
    follows = {"classes": len(source.labels), "rows": examples}
    return {**{key: value for key, value in follows.items() if key in known}, **recipe.config}


def check_network(recipe: ClassifierRecipe, model: nn.Module, shape: Shape, labels: Sequence[str]) -> None:
    """Raise RecipeError unless the new ``model`` gives images of ``shape`` (C, H, W) one logit per label."""
    try:
        with torch.no_grad():
            logits: Tensor = model.eval()(torch.zeros(1, *shape))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} cannot take images {shape} ({reason})") from error
    finally:
        model.train()
    if logits.shape != (1, len(labels)):
        raise RecipeError(
            f"recipe {recipe.name!r}: {recipe.model} has {logits.shape[-1]} classes; {recipe.dataset} has {len(labels)}"
        )


def start_from(recipe: ClassifierRecipe, model: nn.Module, how: Transfer, *, load: bool) -> Started:
    """Load the weights that ``how`` names into ``model``, except its new heads, and freeze them if ``how`` says so.

    Without ``load``, no weights are read: a resumed run gets them from its checkpoint.

    Raises:
        RecipeError: the weights cannot be read, or don't fit.
        RunError: a folder holds neither a package nor a checkpoint.
    """
    heads, started = how.heads(model), Started()
    modules = dict(model.named_modules())
    if strange := [name for name in heads if name not in modules]:
        near = did_you_mean(strange[0], modules) or f"; its parts are {', '.join(dict(model.named_children()))}"
        raise RecipeError(f"recipe {recipe.name!r}, transfer.fresh: {recipe.model} has no module {strange[0]!r}{near}")
    try:
        if load:
            found = find_weights(Path(how.weights))
            started = Started(found.record, found.give(model, heads))
    except WeightsError as error:
        raise RecipeError(f"recipe {recipe.name!r}, transfer.weights: {error}") from error
    if how.mode == "freeze":
        freeze(model, heads)
    return started


def _variant(recipe: ClassifierRecipe) -> Variant:
    try:
        return find(recipe.model)
    except KeyError as error:
        raise RecipeError(f"recipe {recipe.name!r}: {error.args[0]}{did_you_mean(recipe.model, VARIANTS)}") from error
