"""Recurrent decoders without attention (I2DL XI.2-3): vanilla RNN, GRU and LSTM by the name of their cell."""

import torch
from torch import Tensor, nn

from models.captioning.decoder import Decoder, Sentence, Start, Tensors, Word
from models.captioning.words import Words
from models.layers.recurrence import Recurrence

IMAGE = "image_vector"


class RecurrentDecoder(Decoder):
    """The mean feature is the first input, before the start token (Vinyals et al. 2014, arXiv:1411.4555).

    With ``every_step``, it is also added to the vector of each word (as in Mao et al. 2014, arXiv:1412.6632), so that
    the state needn't remember the image. ``dropout`` is applied to the inputs and outputs of the cells.

    Raises:
        KeyError: there is no such cell.
    """

    def __init__(
        self,
        features: int,
        vocabulary: int,
        length: int,
        *,
        cell: str = "lstm",
        width: int = 128,
        hidden: int = 256,
        layers: int = 1,
        every_step: bool = True,
        tied: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.every_step = every_step
        self.image = nn.Linear(features, width)
        self.words = Words(vocabulary, width, tied=tied)
        self.recurrence = Recurrence(cell, width, hidden, layers, dropout)
        self.output = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def start(self, features: Tensor) -> Start:
        """The state after the image; with ``every_step``, the memory has ``image_vector`` (B, width)."""
        image: Tensor = self.image(features.mean(1))  # (B, L, D) -> (B, D) -> (B, width)
        _, state = self.recurrence.step(self.dropout(image), self.recurrence.zeros(image))
        return Start({IMAGE: image} if self.every_step else {}, state)

    def step(self, token: Tensor, state: Tensors, memory: Tensors) -> Word:
        """See `Decoder`."""
        x = self.words(token)  # (B, width)
        if self.every_step:
            x = x + memory[IMAGE]
        h, state = self.recurrence.step(self.dropout(x), state)
        return Word(self._score(h), state, None)

    def forward(self, tokens: Tensor, features: Tensor) -> Sentence:
        """See `Decoder`."""
        memory, state = self.start(features)
        x = self.words(tokens)  # (B, T, width)
        if self.every_step:
            x = x + memory[IMAGE].unsqueeze(1)
        h, _ = self.recurrence(self.dropout(x), state)  # (B, T, hidden)
        return Sentence(self._score(h), None)

    def _score(self, h: Tensor) -> Tensor:
        return self.words.score(torch.tanh(self.output(self.dropout(h))))
