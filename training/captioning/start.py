"""What a captioner starts from: a classifier's weights for its encoder, or all of another captioner's."""

from pathlib import Path

from torch import nn

from models.captioning.network import CaptionNetwork
from models.weights import WeightsError
from training.captioning.recipe import CaptionerRecipe
from training.craft.transfer import Transfer, freeze
from training.data.vocabulary import Vocabulary
from training.errors import RecipeError
from training.initial_weights import Found, Started, find_weights

BACKBONE = "encoder.backbone"
MAPS = "maps"  # what runs the backbone


def start_from(
    recipe: CaptionerRecipe, model: CaptionNetwork, vocabulary: Vocabulary, how: Transfer, *, load: bool
) -> Started:
    """Give the network the weights that ``how`` names, and freeze the backbone if it is to stay as it is.

    A model that gets its weights elsewhere has nothing to ``load``.

    Raises:
        RecipeError: they cannot be read, or don't fit, or are of a captioner with other words.
        RunError: a folder holds neither a package nor a checkpoint.
    """
    if how.fresh:
        raise RecipeError(
            f"recipe {recipe.name!r}, transfer.fresh: {list(how.fresh)}; all but the backbone starts fresh,"
            " or, with [], nothing"
        )
    started = Started()
    try:
        if load:
            found = find_weights(Path(how.weights))
            if how.fresh is None:
                unfolded = _give_backbone(model, found)
            else:
                _check_words(recipe, vocabulary, found)
                unfolded = found.give(model, part=BACKBONE, method=MAPS)
            started = Started(found.record, unfolded)
    except WeightsError as error:
        raise RecipeError(f"recipe {recipe.name!r}, transfer.weights: {error}") from error
    if how.mode == "freeze":
        freeze(model.encoder.backbone, ())
    return started


def _give_backbone(model: CaptionNetwork, found: Found) -> list[nn.BatchNorm2d]:
    """Of a classifier."""
    backbone = model.encoder.backbone
    # What scored the classifier's classes has no place here.
    heads = {name.partition(".")[0] for name in found.names} - {name for name, _ in backbone.named_children()}
    return found.give(backbone, heads, method=MAPS)


def _check_words(recipe: CaptionerRecipe, vocabulary: Vocabulary, found: Found) -> None:
    """Raise WeightsError unless ``found`` are the weights of a captioner with the same words."""
    if found.package is not None:
        if found.package.vocabulary != vocabulary.words:
            raise WeightsError(
                f"{found.origin}: its {len(found.package.vocabulary)} words are not the {len(vocabulary)} that are "
                f"learnt here from {recipe.dataset}"
            )
        return
    if found.recipe is None:
        raise WeightsError(f"{found.origin}: a file of weights says no words; wanted a captioner's package or run")
    for what in ("dataset", "examples", "min_count"):  # what the words are made from
        if (came := getattr(found.recipe, what, None)) != (wanted := getattr(recipe, what)):
            raise WeightsError(f"{found.origin}: its {what} is {came!r}, and {wanted!r} here")
