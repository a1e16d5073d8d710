"""Language recognition: many bytes to one language (I2DL XI.2)."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from models.layers.initialisation import start_small
from models.layers.recurrence import Recurrence
from models.variant import Row

BYTES = 256
PADDING = 0  # does not occur in a text


class LanguageRecogniser(nn.Module):
    """Reads UTF-8 byte by byte with a recurrent network; the state after the last one is scored by a linear layer.

    Bytes need no vocabulary and cover every script. ``cell`` is ``rnn``, ``gru`` or ``lstm``. Each byte becomes a
    vector of ``width``; ``dropout`` is applied to these and to the scored state.

    Raises:
        KeyError: there is no such cell.
    """

    def __init__(
        self,
        languages: int,
        *,
        cell: str = "gru",
        width: int = 32,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BYTES, width)
        self.recurrence = Recurrence(cell, width, hidden, layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(hidden, languages)
        start_small(self.scores)

    def forward(self, text: Tensor) -> Tensor:
        """Logits (B, languages) of texts (B, T) uint8 in UTF-8, zeros after their end."""
        x = self.dropout(self.embedding(text.to(torch.int64)))  # (B, T, width)
        h, _ = self.recurrence(x, self.recurrence.zeros(x), _real(text))  # (B, T, hidden)
        logits: Tensor = self.scores(self.dropout(h[:, -1]))
        return logits


class LanguageGraph(nn.Module):
    """A package's computation: texts (B, T) uint8, zeros after their end -> ``probabilities`` (B, languages) float32.

    B and T may have any size. The weights are copies, for inference. The recurrence is torch's own layer, which ONNX
    has as one operator.

    Raises:
        TypeError: the cell is a vanilla RNN, which the exporter would unroll byte by byte, for one length.
    """

    inputs, outputs = ("text",), ("probabilities",)

    def __init__(self, recogniser: LanguageRecogniser) -> None:
        super().__init__()
        self.embedding, self.scores = deepcopy(recogniser.embedding), deepcopy(recogniser.scores)
        self.recurrence = recogniser.recurrence.to_library()
        if isinstance(self.recurrence, nn.RNN):
            raise TypeError("a recogniser with the cell rnn cannot be exported for any length; gru and lstm can")
        self.requires_grad_(False)

    def forward(self, text: Tensor) -> tuple[Tensor]:
        """The ``probabilities`` of ``text``, as the class says."""
        h, _ = self.recurrence(self.embedding(text.to(torch.int64)))  # (B, T, hidden)
        last = _real(text).sum(1) - 1  # (B,)
        h = h.gather(1, last[:, None, None].expand(-1, 1, h.shape[2])).squeeze(1)  # (B, T, hidden) -> (B, hidden)
        return (torch.softmax(self.scores(h), 1),)


def _real(text: Tensor) -> Tensor:
    """Whether each of (B, T) is a byte to read; an empty text is read as one zero."""
    first = torch.arange(text.shape[1], device=text.device) == 0
    return (text != PADDING) | first


def _row(cell: str, title: str, hidden: int, parameters: int, macs: int) -> Row:
    return Row(
        name=f"language-{cell}",
        family=LanguageRecogniser,
        config={"languages": 28, "cell": cell, "hidden": hidden},
        parameters=parameters,
        macs=macs,
        title=f"{title}, byte by byte",
        lecture="I2DL XI.2, Recurrent Neural Networks",
        description="Many to one: the state after the last byte of a text says which language it is in.",
    )


# Multiply-accumulates are for a text of one byte.
VARIANTS: Mapping[str, Row] = {
    row.name: row
    for row in (
        _row("rnn", "RNN", 224, 72_060, 63_616),
        _row("gru", "GRU", 128, 74_012, 65_024),
        _row("lstm", "LSTM", 104, 68_124, 59_488),
    )
}
