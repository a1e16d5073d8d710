"""Captioning, as a task of training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.captioning.network import CaptionNetwork
from models.captioning.rows import CaptionVariant
from models.registry import find
from models.weights import WeightsError, give_weights, read_weights
from training.captioning.captioner import Captioner
from training.captioning.recipe import CaptionerRecipe
from training.captioning.self_critical import SelfCritical
from training.checkpoint import FILE, describe, read_checkpoint
from training.craft.transfer import Transfer, freeze
from training.data import CaptionSource, CaptionSplit, find_captions
from training.data.caption_loading import training_captions, validation_captions
from training.data.digit_scenes import DigitScenes
from training.data.split import Bytes
from training.data.vocabulary import Vocabulary, build_vocabulary
from training.errors import RecipeError
from training.learner import Batch
from training.task import ALONE, Batches, Start, Task, fresh_model, model_title
from training.world import World

VALIDATION_BATCH = 250


@dataclass(frozen=True)
class CaptionerStart(Start):
    """The start of a captioner's training on one split, validated on another."""

    learner: Captioner
    vocabulary: Vocabulary
    examples: CaptionSplit
    held_out: CaptionSplit
    looks: Bytes | None  # where to look for each word of the examples, if that is to be learnt

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        recipe = self.learner.recipe
        assert recipe.batch_size != "full"  # Captioning
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
        return self.learner.network.length - 1  # its end is a word too


class Captioning(Task):
    """A captioner's recipe and its data set."""

    def __init__(self, recipe: CaptionerRecipe, data: Path | None) -> None:
        title = model_title(recipe)
        self.recipe, self.source = recipe, find_captions(recipe.dataset, data)
        self.title = f"{title} on {self.source.title}"
        _check(recipe, self.source)

    def start(self, *, resume: bool = False) -> CaptionerStart:
        """See `Task`."""
        recipe = self.recipe
        fresh_model(recipe)
        training, validation = self.source.training(), self.source.validation()
        if recipe.examples is not None:
            training = training[np.arange(min(recipe.examples, len(training)))]
        vocabulary = build_vocabulary(training.captions, recipe.min_count)
        config = complete_config(recipe, vocabulary)
        model = fresh_model(recipe, config)
        assert isinstance(model, CaptionNetwork)
        if recipe.transfer:
            _give_start(recipe, model, recipe.transfer, load=not resume)
        splits = {"training": len(training), "validation": len(validation)}
        said: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **config}))
        given = (model, recipe, self.source, vocabulary, describe(recipe, said, self.source, splits))
        learner = SelfCritical(*given, training.captions) if recipe.self_critical else Captioner(*given)
        looks = _looks(recipe, self.source, model, len(training)) if recipe.supervised_attention else None
        return CaptionerStart(learner, vocabulary, training, validation, looks)


def _looks(recipe: CaptionerRecipe, source: CaptionSource, model: CaptionNetwork, count: int) -> Bytes:
    if not isinstance(source, DigitScenes) or not model.decoder.attends:
        raise RecipeError(
            f"recipe {recipe.name!r}, supervised_attention: wanted digit scenes, whose places are known, and a decoder "
            f"that attends; it has {source.name} and {recipe.model}"
        )
    return source.looks("training", model.encoder.grid, model.length)[:count]


def complete_config(recipe: CaptionerRecipe, vocabulary: Vocabulary) -> dict[str, Any]:
    """The recipe's ``config`` with as many words as the vocabulary has."""
    return {"vocabulary": len(vocabulary), **recipe.config}


def _check(recipe: CaptionerRecipe, source: CaptionSource) -> None:
    """Raise RecipeError where the recipe asks for what its model or its data set cannot give."""
    row = find(recipe.model)
    if not isinstance(row, CaptionVariant):
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} is no captioner")
    shape = tuple(recipe.config.get("shape", row.input_shape))
    problems = {
        "0 epochs, wanted 1 or more": recipe.epochs == 0,
        f"{recipe.optimiser.name} looks at all examples at each step; a captioner wants batches": (
            recipe.batch_size == "full"
        ),
        f"images of {source.name} change their meaning when they are mirrored, and augmentation.flip is "
        f"{recipe.augmentation.flip}": recipe.augmentation.flip > 0 and not source.mirrored,
        f"{recipe.model} takes images {shape}, {source.name} has {source.shape}": shape != source.shape,
    }
    for words, there in problems.items():
        if there:
            raise RecipeError(f"recipe {recipe.name!r}: {words}")


def _give_start(recipe: CaptionerRecipe, model: CaptionNetwork, how: Transfer, *, load: bool) -> None:
    """Give the network the weights that ``how`` names, and freeze the backbone if it is to stay as it is."""
    if how.fresh:
        raise RecipeError(
            f"recipe {recipe.name!r}, transfer.fresh: {list(how.fresh)}; all but the backbone starts fresh,"
            " or, with [], nothing"
        )
    try:
        if load and how.fresh is None:
            _give_backbone(model, Path(how.weights))
        elif load:
            _give_all(recipe, model, Path(how.weights))
    except WeightsError as error:
        raise RecipeError(f"recipe {recipe.name!r}, transfer.weights: {error}") from error
    if how.mode == "freeze":
        freeze(model.encoder.backbone, ())


def _give_backbone(model: CaptionNetwork, path: Path) -> None:
    """Of a classifier."""
    backbone = model.encoder.backbone
    found = read_checkpoint(path).weights if path.is_dir() else read_weights(path)
    # What scored the classifier's classes has no place here.
    heads = {name.partition(".")[0] for name in found} - {name for name, _ in backbone.named_children()}
    give_weights(backbone, found, str(path / FILE if path.is_dir() else path), heads)


def _give_all(recipe: CaptionerRecipe, model: CaptionNetwork, path: Path) -> None:
    """Of a captioner's run with the same words."""
    earlier = read_checkpoint(path)
    for what in ("dataset", "examples", "min_count"):  # what the words are made from
        if (came := getattr(earlier.recipe, what, None)) != (wanted := getattr(recipe, what)):
            raise WeightsError(f"{path}: its {what} is {came!r}, and {wanted!r} here")
    give_weights(model, earlier.weights, str(path / FILE))
