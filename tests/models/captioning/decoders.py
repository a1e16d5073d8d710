"""Small decoders of every kind, and features and words for them."""

from typing import Any

import torch
from torch import Tensor

from models.captioning.decoder import Decoder
from models.captioning.network import DECODERS

FEATURES, PLACES, VOCABULARY, LENGTH = 6, 5, 11, 7
SMALL: dict[str, Any] = {"width": 8, "hidden": 12}
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in DECODERS},
    "rnn, two layers": ("rnn", {"layers": 2}),
    "lstm, two layers": ("lstm", {"layers": 2}),
    "gru, the image once": ("gru", {"every_step": False}),
    "lstm, tied": ("lstm", {"tied": True}),
    "attention, tied": ("attention", {"tied": True}),
    "transformer, tied": ("transformer", {"tied": True, "heads": 2}),
    "transformer, sinusoidal": ("transformer", {"positions": "sinusoidal", "layers": 3}),
}


def decoder(option: str, **config: Any) -> Decoder:
    """In 64 bits, with words far apart."""
    torch.manual_seed(0)
    name, more = OPTIONS[option]
    found = DECODERS[name](FEATURES, VOCABULARY, LENGTH, **{**SMALL, **more, **config}).double()
    for key, parameter in found.named_parameters():
        if key == "words.scores.weight":
            torch.nn.init.normal_(parameter)
    return found


def features(rows: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, PLACES, FEATURES, generator=generator, dtype=torch.float64).relu()


def words(rows: int = 3, steps: int = LENGTH) -> Tensor:
    return torch.randint(VOCABULARY, (rows, steps), generator=torch.Generator().manual_seed(2))
