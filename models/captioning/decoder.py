"""What every decoder does: a sentence, word by word, from the features of an image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

Tensors = dict[str, Tensor]  # each (B, ...)


class Start(NamedTuple):
    """What is ready before the first word.

    ``memory`` is what the steps need of the features: computed once, the same at every step. ``state`` is what each
    step changes. Both have fixed shapes, batch first, and names of their own.
    """

    memory: Tensors
    state: Tensors


class Word(NamedTuple):
    """One step: logits (B, V) of the next word, the new state, and weights (B, L) of the features it looked at."""

    logits: Tensor
    state: Tensors
    attention: Tensor | None


class Sentence(NamedTuple):
    """All steps at once: logits (B, T, V), and weights (B, T, L) of the features each looked at."""

    logits: Tensor
    attention: Tensor | None


class Decoder(nn.Module, ABC):
    """A sentence is ``start``, then ``step`` with the word before (at first the start token) again and again.

    The `forward` of given words is the same computation (teacher forcing). Decoders that don't attend give no
    attention; ``attends`` says which do.
    """

    attends: ClassVar[bool] = False

    @property
    def fills(self) -> Mapping[str, int]:
        """States that are one and the same number everywhere before the first word, and that number."""
        return {}

    @abstractmethod
    def start(self, features: Tensor) -> Start:
        """The memory and first state for ``features`` (B, L, D)."""

    @abstractmethod
    def step(self, token: Tensor, state: Tensors, memory: Tensors) -> Word:
        """What follows ``token`` (B,) int64, the word before."""

    @abstractmethod
    def forward(self, tokens: Tensor, features: Tensor) -> Sentence:
        """What follows each of ``tokens`` (B, T) int64, given those before it and ``features`` (B, L, D)."""
