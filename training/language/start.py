"""The start of a language recogniser's training: its texts and its network."""

import json
from dataclasses import dataclass
from typing import Any

import torch

from models.language.recogniser import LanguageRecogniser
from models.registry import find
from training.checkpoint import describe
from training.data import find_texts
from training.data.languages import Texts
from training.data.mixture import draw_pieces
from training.data.spelling import in_every_spelling
from training.errors import RecipeError
from training.language.learner import LanguageLearner, batches, encode
from training.language.recipe import LanguageRecipe
from training.learner import Batch
from training.start import ALONE, Batches, Opened, Start, fresh_model, model_title
from training.world import World

VALIDATION_BATCH = 500


@dataclass(frozen=True)
class LanguageStart(Start):
    """The start of a recogniser's training on pieces of texts, validated on everyday sentences in every spelling."""

    learner: LanguageLearner
    examples: Texts
    held_out: Texts

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        size, seed = self.learner.settings.batch_size, self.learner.settings.seed
        assert size != "full"  # `LanguageRecipe` refuses it
        return batches(self.examples, size, world, seed)

    def validation(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        return batches(self.held_out, VALIDATION_BATCH, world)

    def some(self, count: int) -> Batch:
        """The first examples, whose languages take turns."""
        return torch.from_numpy(encode(self.examples.texts[:count])), torch.from_numpy(self.examples.labels[:count])


class OpenedRecogniser(Opened):
    """The recipe of a language recogniser, and its texts."""

    def __init__(self, recipe: LanguageRecipe) -> None:
        title = model_title(recipe)
        self.recipe, self.source = recipe, find_texts(recipe.dataset)
        self.title = f"{title} on the {self.source.title}"
        if find(recipe.model).family is not LanguageRecogniser:
            raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} is not a language recogniser")

    def start(self, *, resume: bool = False) -> LanguageStart:
        """See `Opened`."""
        recipe, source = self.recipe, self.source
        config = {"languages": len(source.labels), **recipe.config}
        model = fresh_model(recipe, config)
        training = draw_pieces(source.training(), recipe.examples, recipe.pieces, recipe.seed)
        validation = in_every_spelling(source.validation().everyday)
        splits = {"training": len(training), "validation": len(validation)}
        said: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **config}))
        learner = LanguageLearner(model, recipe, len(source.labels), describe(recipe, said, source, splits))
        return LanguageStart(learner, training, validation)
