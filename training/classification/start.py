"""The start of a classifier's training: its data set, its network and its examples."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.registry import find
from training.checkpoint import describe
from training.classification.classifier import Batch, Classifier
from training.classification.network import check_network, complete_config, open_source, start_from
from training.classification.recipe import ClassifierRecipe
from training.craft.augmentation import check_augmentation
from training.data import Source, Split, split
from training.data.loading import some_batches, training_batches, validation_batches
from training.export.folding import measure_statistics
from training.initial_weights import Started
from training.start import ALONE, Batches, Opened, Start, fresh_model, model_title
from training.world import World

VALIDATION_BATCH = 500


@dataclass(frozen=True)
class ClassifierStart(Start):
    """The start of a classifier's training on one split, validated on another."""

    learner: Classifier
    examples: Split
    held_out: Split

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        recipe = self.learner.recipe
        size = len(self.examples) if recipe.batch_size == "full" else recipe.batch_size
        return training_batches(self.examples, size, recipe.seed, world.rank, world.size)

    def validation(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        return validation_batches(self.held_out, VALIDATION_BATCH, world.rank, world.size)

    def some(self, count: int) -> Batch:
        """Examples of every class in turn."""
        by_class = [(self.examples.labels == label).nonzero()[0] for label in range(self.learner.choices)]
        turns = range(max(map(len, by_class)))
        rows = [int(rows[turn]) for turn in turns for rows in by_class if turn < len(rows)][:count]
        return torch.from_numpy(self.examples.images[rows]), torch.from_numpy(self.examples.labels[rows])

    def ordered(self) -> Batches:
        """See `Start`."""
        return validation_batches(self.examples, VALIDATION_BATCH)


class OpenedClassifier(Opened):
    """A classifier's recipe and its data set."""

    def __init__(self, recipe: ClassifierRecipe, data: Path | None) -> None:
        self.recipe, self.source = recipe, open_source(recipe, data)
        self.title = f"{model_title(recipe)} on {self.source.title}"

    def start(self, *, resume: bool = False) -> ClassifierStart:
        """See `Opened`."""
        recipe = self.recipe
        # Finds a mistake in the recipe before the data are read.
        fresh_model(recipe)
        check_augmentation(recipe.augmentation, recipe.name, *self.source.shape[1:])
        training, validation = split(recipe, self.source)
        splits = {"training": len(training), "validation": len(validation)}
        learner, unfolded = _make(recipe, self.source, splits, resume=resume)
        if unfolded:
            batches = some_batches(training.images)
            measure_statistics(learner.model, unfolded, lambda images: learner.model(learner.prepare(images)), batches)
        return ClassifierStart(learner, training, validation)


def _make(
    recipe: ClassifierRecipe, source: Source, splits: dict[str, int], *, resume: bool
) -> tuple[Classifier, Sequence[nn.BatchNorm2d]]:
    """The learner, and the layers of its network that still lack their statistics."""
    config = complete_config(recipe, source, splits["training"])
    model = fresh_model(recipe, config)
    check_network(recipe, model, source.shape, source.labels)
    started = start_from(recipe, model, recipe.transfer, load=not resume) if recipe.transfer else Started()
    # Through JSON, so that a checkpoint holds plain values only (and no tuples).
    said: dict[str, Any] = json.loads(json.dumps({**find(recipe.model).config, **config}))
    description = describe(recipe, said, source, splits, started.record)
    return Classifier(model, recipe, source, description), started.unfolded
