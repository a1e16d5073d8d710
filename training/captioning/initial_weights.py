"""The initial weights of a captioner: a classifier's for its encoder, or all of another captioner's."""

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
MAPS = "maps"  # the method that runs the backbone


def start_from(
    recipe: CaptionerRecipe, model: CaptionNetwork, vocabulary: Vocabulary, how: Transfer, *, load: bool
) -> Started:
    """Load the weights that ``how`` names into the network, and freeze the backbone if ``how`` says so.

    Without ``load``, no weights are read: a resumed run gets them from its checkpoint.

    Raises:
        RecipeError: the weights cannot be read, don't fit, or are of a captioner with other words.
        RunError: a folder holds neither a package nor a checkpoint.
    """
    if how.fresh:
        raise RecipeError(
            f"recipe {recipe.name!r}: transfer.fresh is {list(how.fresh)}; leave it out (all but the backbone is new) "
            "or give [] (nothing is)"
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
    """Load the weights ``found``, of a classifier, into the backbone."""
    backbone = model.encoder.backbone
    # The layers that score the classifier's classes are left out.
    heads = {name.partition(".")[0] for name in found.names} - {name for name, _ in backbone.named_children()}
    return found.give(backbone, heads, method=MAPS)


def _check_words(recipe: CaptionerRecipe, vocabulary: Vocabulary, found: Found) -> None:
    """Raise WeightsError unless ``found`` are the weights of a captioner with the same words."""
    if found.package is not None:
        if found.package.vocabulary != vocabulary.words:
            raise WeightsError(
                f"{found.origin}: its {len(found.package.vocabulary)} words differ from the {len(vocabulary)} words of "
                f"{recipe.dataset} in this run"
            )
        return
    if found.recipe is None:
        raise WeightsError(f"{found.origin}: a file of weights has no words; give a captioner's package or run")
    for what in ("dataset", "examples", "min_count"):  # the words follow from these
        if (theirs := getattr(found.recipe, what, None)) != (ours := getattr(recipe, what)):
            raise WeightsError(f"{found.origin}: its {what} is {theirs!r}; this recipe has {ours!r}")
