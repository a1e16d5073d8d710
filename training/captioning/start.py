"""The start of a captioner's training: its data set, its network and its examples."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.captioning.network import CaptionNetwork
from models.captioning.rows import CaptionVariant
from models.registry import find
from training.captioning.captioner import Captioner
from training.captioning.initial_weights import start_from
from training.captioning.recipe import CaptionerRecipe
from training.captioning.self_critical import SelfCritical
from training.checkpoint import describe
from training.craft.augmentation import check_augmentation
from training.data import CaptionSource, CaptionSplit, find_captions
from training.data.caption_loading import training_captions, validation_captions
from training.data.digit_scenes import DigitScenes
from training.data.loading import some_batches
from training.data.split import Bytes
from training.data.vocabulary import Vocabulary, build_vocabulary
from training.errors import RecipeError
from training.export.folding import measure_statistics
from training.initial_weights import Started
from training.learner import Batch
from training.start import ALONE, Batches, Opened, Start, fresh_model, model_title
from training.world import World

VALIDATION_BATCH = 250


@dataclass(frozen=True)
class CaptionerStart(Start):
    """The start of a captioner's training on one split, validated on another."""

    learner: Captioner
    vocabulary: Vocabulary
    examples: CaptionSplit
    held_out: CaptionSplit
    looks: Bytes | None  # where to look for each word of the examples, if attention is supervised

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        recipe = self.learner.recipe
        assert recipe.batch_size != "full"  # `OpenedCaptioner` refuses it
        return training_captions(
            self.examples,
            self.vocabulary,
            self._longest,
            recipe.batch_size,
            recipe.seed,
            world.rank,
            world.size,
            self.looks,
        )

    def validation(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        return validation_captions(
            self.held_out, self.vocabulary, self._longest, VALIDATION_BATCH, world.rank, world.size
        )

    def some(self, count: int) -> Batch:
        """The first images, each with its first caption."""
        rows = self.examples[np.arange(min(count, len(self.examples)))]
        first = CaptionSplit(rows.images, tuple(captions[:1] for captions in rows.captions))
        (batch,) = validation_captions(first, self.vocabulary, self._longest, count)
        return batch

    @property
    def _longest(self) -> int:
        return self.learner.network.length - 1  # the end token is one of its steps


class OpenedCaptioner(Opened):
    """A captioner's recipe and its data set."""

    def __init__(self, recipe: CaptionerRecipe, data: Path | None) -> None:
        title = model_title(recipe)
        self.recipe, self.source = recipe, find_captions(recipe.dataset, data)
        self.title = f"{title} on {self.source.title}"
        _check(recipe, self.source)

    def start(self, *, resume: bool = False) -> CaptionerStart:
        """See `Opened`."""
        recipe = self.recipe
        fresh_model(recipe)
        training, validation = split(recipe, self.source)
        vocabulary = build_vocabulary(training.captions, recipe.min_count)
        config = complete_config(recipe, vocabulary)
        model = fresh_model(recipe, config)
        assert isinstance(model, CaptionNetwork)
        started = Started()
        if recipe.transfer:
            started = start_from(recipe, model, vocabulary, recipe.transfer, load=not resume)
        splits = {"training": len(training), "validation": len(validation)}
        said: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **config}))
        description = describe(recipe, said, self.source, splits, started.record)
        given = (model, recipe, self.source, vocabulary, description, validation.captions)
        learner = SelfCritical(*given, training.captions) if recipe.self_critical else Captioner(*given)
        if started.unfolded:
            measure_statistics(model, started.unfolded, learner.encode, some_batches(training.images))
        looks = _looks(recipe, self.source, model, len(training)) if recipe.supervised_attention else None
        return CaptionerStart(learner, vocabulary, training, validation, looks)


def split(recipe: CaptionerRecipe, source: CaptionSource) -> tuple[CaptionSplit, CaptionSplit]:
    """The examples to train and to validate on; training and export both call it."""
    training = source.training()
    if recipe.examples is not None:
        training = training[np.arange(min(recipe.examples, len(training)))]
    return training, source.validation()


def _looks(recipe: CaptionerRecipe, source: CaptionSource, model: CaptionNetwork, count: int) -> Bytes:
    if not isinstance(source, DigitScenes) or not model.decoder.attends:
        raise RecipeError(
            f"recipe {recipe.name!r}: supervised_attention needs digit-scenes, whose positions are known, and a "
            f"decoder with attention; the data set is {source.name} and the model {recipe.model}"
        )
    return source.looks("training", model.encoder.grid, model.length)[:count]


def complete_config(recipe: CaptionerRecipe, vocabulary: Vocabulary) -> dict[str, Any]:
    """The recipe's ``config`` with the size of the vocabulary."""
    return {"vocabulary": len(vocabulary), **recipe.config}


def _check(recipe: CaptionerRecipe, source: CaptionSource) -> None:
    """Raise RecipeError if the recipe asks for something that its model or data set does not support."""
    row = find(recipe.model)
    if not isinstance(row, CaptionVariant):
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} is not a captioner")
    said = recipe.config.get("shape", row.input_shape)
    shape = tuple(said) if isinstance(said, list | tuple) else said
    check_augmentation(recipe.augmentation, recipe.name, *source.shape[1:])
    problems = {
        "epochs is 0; a captioner needs 1 or more": recipe.epochs == 0,
        'batch_size is "full"; a captioner needs a number, and an optimiser of batches': recipe.batch_size == "full",
        f"augmentation.flip is {recipe.augmentation.flip}; captions of {source.name} do not hold for mirrored images, "
        "so it must be 0": recipe.augmentation.flip > 0 and not source.mirrored,
        f"{recipe.model} takes images {shape}; {source.name} has {source.shape}": shape != source.shape,
    }
    for words, there in problems.items():
        if there:
            raise RecipeError(f"recipe {recipe.name!r}: {words}")
