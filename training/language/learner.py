"""Trains a language recogniser on Lightning: many bytes to one language (I2DL XI.2)."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from models.language.recogniser import PADDING
from training.choice_learner import ChoiceLearner
from training.data.languages import Texts
from training.data.loading import ShuffledBatches, bounds
from training.language.recipe import LanguageRecipe
from training.learner import Stage
from training.world import World

Batch = tuple[Tensor, Tensor]


class LanguageLearner(ChoiceLearner):
    """A recogniser and its recipe; batches are texts (B, T) uint8 in UTF-8, zeros after their end, and labels (B,)."""

    def __init__(self, model: nn.Module, recipe: LanguageRecipe, languages: int, description: dict[str, Any]) -> None:
        super().__init__(model, recipe, languages, ((), ()), description)

    @property
    def fresh(self) -> Collection[str]:
        """No modules: nothing is transferred."""
        return ()

    def losses(self, network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
        """The mean cross-entropy of the languages."""
        texts, labels = batch
        return (cross_entropy(network(texts), labels),)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The cross-entropy of a batch."""
        torch.manual_seed(-1 - self.draw())  # dropout's masks
        return self._loss("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the cross-entropy and accuracy of a validation batch."""
        self._loss("validation", batch)

    def _loss(self, stage: Stage, batch: Batch) -> Tensor:
        texts, labels = trimmed(batch)
        logits = self.model(texts)
        value = cross_entropy(logits, labels)
        self.measure(stage, value, logits, labels)
        return value


def trimmed(batch: Batch) -> Batch:
    """``batch`` cut to the length of its longest text."""
    texts, labels = batch
    longest = max(1, int((texts != PADDING).sum(1).max()))
    return texts[:, :longest], labels


def batches(texts: Texts, size: int, world: World, seed: int | None = None) -> DataLoader[tuple[Tensor, ...]]:
    """This process's share of batches of ``size`` texts, shuffled by ``seed`` or in order without one.

    Raises:
        DataError: there are fewer texts than processes.
    """
    rows = TensorDataset(torch.from_numpy(encode(texts.texts)), torch.from_numpy(texts.labels))
    if seed is not None:
        shuffled = ShuffledBatches(len(texts), size, seed, world.rank, world.size)
        return DataLoader(rows, sampler=shuffled, batch_size=None)
    spans = bounds(len(texts), size * world.size, world.size)
    ordered = [list(range(start + world.rank, stop, world.size)) for start, stop in spans]
    return DataLoader(rows, sampler=ordered, batch_size=None)


def encode(texts: Sequence[str], length: int | None = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The texts in UTF-8 (N, T), zeros after their end; T is the longest's, or ``length``, and longer ones are cut."""
    encoded = [text.encode()[:length] for text in texts]
    rows = np.full((len(encoded), length or max(map(len, encoded))), PADDING, np.uint8)
    for row, content in zip(rows, encoded, strict=True):
        row[: len(content)] = np.frombuffer(content, np.uint8)
    return rows
