"""Captions that a network writes during training, word by word, as they would be served."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.captioning.decoder import Decoder
from training.data.vocabulary import END, NEVER_SAID, PAD, START

Choose = Callable[[Tensor], Tensor]


@torch.no_grad()
def write_captions(decoder: Decoder, features: Tensor, longest: int, choose: Choose) -> Tensor:
    """Captions for ``features`` (N, L, D): tokens (N, 1 + T) from start to end and then pad, T <= ``longest``.

    ``choose`` takes the logits (N, V) of each next word, of which `allowed` are finite, and returns its token (N,).
    """
    memory, state = decoder.start(features)
    token = torch.full((len(features),), START, device=features.device)
    over = torch.zeros_like(token, dtype=torch.bool)
    tokens = [token]
    while len(tokens) <= longest and not over.all():
        logits, state, _ = decoder.step(token, state, memory)
        token = choose(allowed(logits)).masked_fill(over, PAD)
        over |= token == END
        tokens.append(token)
    return torch.stack(tokens, 1)


def draw(logits: Tensor) -> Tensor:
    """A word drawn by its probability, (N, V) -> (N,)."""
    return torch.multinomial(logits.softmax(1), 1).squeeze(1)


def most_probable(logits: Tensor) -> Tensor:
    """The most probable word, (N, V) -> (N,): the greedy strategy, which is the default in serving."""
    return logits.argmax(1)


def allowed(logits: Tensor) -> Tensor:
    """``logits`` (..., V) in 32 bits, minus infinity for tokens that are never said, as in serving."""
    logits = logits.float()
    never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    never[list(NEVER_SAID)] = True
    return logits.masked_fill(never, -torch.inf)
