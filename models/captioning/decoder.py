"""The interface of decoders, which make a sentence, word by word, from the features of an image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

Tensors = dict[str, Tensor]  # each (B, ...)


class Start(NamedTuple):
    """The tensors before the first word.

    ``memory`` is computed once from the features and is the same at every step; ``state`` changes with each step. All
    have fixed shapes, batch first, and different names.
    """

    memory: Tensors
    state: Tensors


class Word(NamedTuple):
    """One step: logits (B, V) of the next word, the new state, and attention weights (B, L) over the features."""

    logits: Tensor
    state: Tensors
    attention: Tensor | None


class Sentence(NamedTuple):
    """All steps at once: logits (B, T, V), and attention weights (B, T, L) over the features."""

    logits: Tensor
    attention: Tensor | None


class Decoder(nn.Module, ABC):
    """A sentence is made by ``start``, then by repeated calls of ``step`` with the word before (first the start token).

    `forward` is the same computation for given words (teacher forcing). ``attends`` says whether a decoder has
    attention; without it, the weights are None.
    """

    attends: ClassVar[bool] = False

    @property
    def fills(self) -> Mapping[str, int]:
        """The states that are filled with one number before the first word, and that number."""
        return {}

    @abstractmethod
    def start(self, features: Tensor) -> Start:
        """The memory and first state for ``features`` (B, L, D)."""

    @abstractmethod
    def step(self, token: Tensor, state: Tensors, memory: Tensors) -> Word:
        """The word that follows ``token`` (B,) int64."""

    @abstractmethod
    def forward(self, tokens: Tensor, features: Tensor) -> Sentence:
        """The words that follow each of ``tokens`` (B, T) int64, given those before it and ``features`` (B, L, D)."""
