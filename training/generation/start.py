"""The start of a generative network's training: its data set, its network and its examples."""

import json
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.generation.rows import VARIANTS
from models.generation.vae import VAE
from models.registry import find
from training.checkpoint import describe
from training.craft.augmentation import check_augmentation
from training.data import Source, Split, find_source, split
from training.data.loading import training_batches, validation_batches
from training.errors import RecipeError
from training.generation.learner import VAELearner
from training.generation.recipe import GenerationRecipe
from training.learner import Batch
from training.start import ALONE, Batches, Opened, Start, fresh_model, model_title
from training.world import World

VALIDATION_BATCH = 500


@dataclass(frozen=True)
class GenerationStart(Start):
    """The start of a generative network's training on one split, validated on another."""

    learner: VAELearner
    examples: Split
    held_out: Split

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        recipe = self.learner.recipe
        assert recipe.batch_size != "full"  # `GenerationRecipe` refuses it
        return training_batches(self.examples, recipe.batch_size, recipe.seed, world.rank, world.size)

    def validation(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        return validation_batches(self.held_out, VALIDATION_BATCH, world.rank, world.size)

    def some(self, count: int) -> Batch:
        """Examples that are evenly spaced over the split."""
        few = self.examples[np.arange(count) * len(self.examples) // count]
        return torch.from_numpy(few.images), torch.from_numpy(few.labels)


class OpenedGenerator(Opened):
    """A generative network's recipe and its data set."""

    def __init__(self, recipe: GenerationRecipe, data: Path | None) -> None:
        title = model_title(recipe)
        self.recipe, self.source = recipe, open_source(recipe, data)
        self.title = f"{title} on {self.source.title}"
        check_augmentation(recipe.augmentation, recipe.name, *self.source.shape[1:])

    def start(self, *, resume: bool = False) -> GenerationStart:
        """See `Opened`."""
        recipe, source = self.recipe, self.source
        config = complete_config(recipe, source)
        model = fresh_model(recipe, config)
        if not isinstance(model, VAE):
            raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} cannot be trained yet; VAEs can")
        training, validation = split(recipe, source)
        splits = {"training": len(training), "validation": len(validation)}
        # Through JSON, so that a checkpoint holds plain values only (and no tuples).
        said: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **config}))
        learner = VAELearner(model, recipe, source, describe(recipe, said, source, splits))
        return GenerationStart(learner, training, validation)


def open_source(recipe: GenerationRecipe, data: Path | None) -> Source:
    """The recipe's data set, with images of the size that its model makes.

    Raises:
        RecipeError: the model is not a generative one.
        DataError: there is no such data set, or it cannot be obtained.
    """
    if recipe.model not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} is no generative network; there are {known}")
    return find_source(recipe.dataset, VARIANTS[recipe.model].input_shape, data)


def complete_config(recipe: GenerationRecipe, source: Source) -> dict[str, Any]:
    """The recipe's ``config`` with the shape of the ``source``, and its classes if the model is told them."""
    variant = find(recipe.model)
    config: dict[str, Any] = {"shape": source.shape} if "shape" in signature(variant.family).parameters else {}
    if variant.config.get("classes"):
        config["classes"] = len(source.labels)
    return {**config, **recipe.config}
