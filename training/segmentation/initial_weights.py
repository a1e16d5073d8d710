"""The initial weights of a segmentation network: a classifier's for its encoder, or all of another network's."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from models.weights import WeightsError
from training.craft.transfer import Transfer, freeze
from training.errors import RecipeError
from training.initial_weights import Found, Started, find_weights
from training.segmentation.recipe import SegmentationRecipe

ENCODER = "encoder"


def fresh_modules(recipe: SegmentationRecipe, model: nn.Module) -> tuple[str, ...]:
    """The modules of ``model`` that keep new initial weights: all without a transfer, all but the encoder with one.

    Raises:
        RecipeError: the transfer names modules, or the network has no encoder to transfer to.
    """
    every = tuple(name for name, _ in model.named_children())
    how = recipe.transfer
    if how is None or how.fresh == ():
        return () if how else every
    if how.fresh:
        raise RecipeError(
            f"recipe {recipe.name!r}: transfer.fresh is {list(how.fresh)}; leave it out (all but the encoder is new) "
            "or give [] (nothing is)"
        )
    if ENCODER not in every:
        raise RecipeError(
            f"recipe {recipe.name!r}: {recipe.model} has no encoder that a classifier's weights would fit; transfer "
            "needs fresh = [] and the weights of such a network"
        )
    return tuple(name for name in every if name != ENCODER)


def start_from(recipe: SegmentationRecipe, model: nn.Module, how: Transfer, *, load: bool) -> Started:
    """Load the weights that ``how`` names into the network, and freeze what is not fresh if ``how`` says so.

    Without ``load``, no weights are read: a resumed run gets them from its checkpoint.

    Raises:
        RecipeError: the weights cannot be read, or don't fit.
        RunError: a folder holds neither a package nor a checkpoint.
    """
    fresh, started = fresh_modules(recipe, model), Started()
    try:
        if load:
            found = find_weights(Path(how.weights))
            unfolded = (
                _give_encoder(model.get_submodule(ENCODER), found) if fresh else found.give(model, method="scores")
            )
            started = Started(found.record, unfolded)
    except WeightsError as error:
        raise RecipeError(f"recipe {recipe.name!r}, transfer.weights: {error}") from error
    if how.mode == "freeze":
        freeze(model, fresh)
    return started


def _give_encoder(encoder: nn.Module, found: Found) -> Sequence[nn.BatchNorm2d]:
    """Load the weights ``found``, of a classifier with such an encoder."""
    # The layers that score the classifier's classes are left out.
    heads = {name.partition(".")[0] for name in found.names} - {name for name, _ in encoder.named_children()}
    return found.give(encoder, heads)
