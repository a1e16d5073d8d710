"""The start of a segmentation network's training: its data set, its network and its examples."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.registry import find
from models.segmentation.rows import VARIANTS
from training.checkpoint import describe
from training.craft.augmentation import check_augmentation
from training.data import MaskSource, MaskSplit, find_masks
from training.data.loading import some_batches, training_batches, validation_batches
from training.errors import DataError, RecipeError
from training.export.folding import measure_statistics
from training.initial_weights import Started
from training.learner import Batch
from training.segmentation.initial_weights import fresh_modules, start_from
from training.segmentation.learner import SegmentationLearner
from training.segmentation.loss import class_weights
from training.segmentation.recipe import SegmentationRecipe
from training.start import ALONE, Batches, Opened, Start, fresh_model, model_title
from training.world import World

VALIDATION_BATCH = 16
CHECKED = 64  # pixels a side of what the checks before training see: whole images would take them minutes


@dataclass(frozen=True)
class SegmentationStart(Start):
    """The start of a segmentation network's training on one split, validated on another."""

    learner: SegmentationLearner
    examples: MaskSplit
    held_out: MaskSplit

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        recipe = self.learner.recipe
        assert recipe.batch_size != "full"  # `SegmentationRecipe` refuses it
        return training_batches(self.examples, recipe.batch_size, recipe.seed, world.rank, world.size)

    def validation(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        return validation_batches(self.held_out, VALIDATION_BATCH, world.rank, world.size)

    def some(self, count: int) -> Batch:
        """The centres of images, evenly spaced over the split."""
        rows = spaced(len(self.examples), min(count, len(self.examples)))
        height, width = self.examples.masks.shape[1:]
        top, left = max(0, height - CHECKED) // 2, max(0, width - CHECKED) // 2
        centre = slice(top, top + CHECKED), slice(left, left + CHECKED)
        few = self.examples[rows]
        return torch.from_numpy(few.images[:, *centre].copy()), torch.from_numpy(few.masks[:, *centre].copy())


class OpenedSegmenter(Opened):
    """A segmentation network's recipe and its data set."""

    def __init__(self, recipe: SegmentationRecipe, data: Path | None) -> None:
        title = model_title(recipe)
        self.recipe, self.source = recipe, find_masks(recipe.dataset, data)
        self.title = f"{title} on {self.source.title}"
        _check(recipe, self.source)

    def start(self, *, resume: bool = False) -> SegmentationStart:
        """See `Opened`."""
        recipe, source = self.recipe, self.source
        config = complete_config(recipe, source)
        model = fresh_model(recipe, config)
        _check_network(recipe, model, source)
        training, validation = split(recipe, source)
        fresh, started = fresh_modules(recipe, model), Started()
        if recipe.transfer:
            started = start_from(recipe, model, recipe.transfer, load=not resume)
        splits = {"training": len(training), "validation": len(validation)}
        # Through JSON, so that a checkpoint holds plain values only (and no tuples).
        said: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **config}))
        description = describe(recipe, said, source, splits, started.record)
        weights = class_weights(recipe.loss, training, len(source.labels))
        learner = SegmentationLearner(model, recipe, source, weights, fresh, description)
        if started.unfolded:
            _measure_statistics(learner, started.unfolded, training)
        return SegmentationStart(learner, training, validation)


def split(recipe: SegmentationRecipe, source: MaskSource) -> tuple[MaskSplit, MaskSplit]:
    """The examples that the recipe trains on, and those that it validates on.

    Raises:
        DataError: there are fewer examples than the recipe asks for.
    """
    training, validation = source.training(), source.validation()
    if recipe.examples is not None:
        if recipe.examples > len(training):
            raise DataError(f"examples is {recipe.examples}; {source.title} has {len(training)} to train on")
        training = training[spaced(len(training), recipe.examples)]
    return training, validation


def spaced(rows: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """``count`` of so many ``rows``, evenly spaced: neighbouring frames of a video are alike."""
    return np.arange(count) * rows // count


def complete_config(recipe: SegmentationRecipe, source: MaskSource) -> dict[str, Any]:
    """The recipe's ``config`` with the classes and channels of the ``source``, where the family has such values."""
    known = signature(find(recipe.model).family).parameters
    follows = {"classes": len(source.labels), "channels": source.shape[0]}
    return {**{key: value for key, value in follows.items() if key in known}, **recipe.config}


def _check(recipe: SegmentationRecipe, source: MaskSource) -> None:
    """Raise RecipeError if the recipe asks for something that its model or data set does not support."""
    if recipe.model not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} is no segmentation network; there are {known}")
    check_augmentation(recipe.augmentation, recipe.name, *source.shape[1:])
    if recipe.augmentation.flip and not source.mirrored:
        raise RecipeError(
            f"recipe {recipe.name!r}: augmentation.flip is {recipe.augmentation.flip}; the classes of {source.name} do "
            "not hold for mirrored images, so it must be 0"
        )


def _check_network(recipe: SegmentationRecipe, model: nn.Module, source: MaskSource) -> None:
    """Raise RecipeError unless the new ``model`` gives every pixel of the source's images one logit per class."""
    try:
        with torch.no_grad():
            logits: Tensor = model.eval()(torch.zeros(1, *source.shape))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(
            f"recipe {recipe.name!r}: {recipe.model} cannot take images {source.shape} ({reason})"
        ) from error
    finally:
        model.train()
    if logits.shape[1] != len(source.labels):
        raise RecipeError(
            f"recipe {recipe.name!r}: {recipe.model} has {logits.shape[1]} classes; {recipe.dataset} has "
            f"{len(source.labels)}"
        )


def _measure_statistics(learner: SegmentationLearner, unfolded: Sequence[nn.BatchNorm2d], examples: MaskSplit) -> None:
    measure_statistics(
        learner.model, unfolded, lambda images: learner.model(learner.prepare(images)), some_batches(examples.images)
    )
