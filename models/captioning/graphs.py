"""The two graphs that serve a captioning network: one runs once per image, the other once per word."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.captioning.network import CaptionNetwork
from models.layers.pixels import normalise, unit

IMAGE, TOKEN, LOG_PROBABILITIES, ATTENTION = "image", "token", "log_probabilities", "attention"


class EncoderGraph(nn.Module):
    """uint8 images (B, H, W) or (B, H, W, 3) -> the tensors of ``outputs``: the memory, then the first state.

    States that begin filled with one number (`CaptionNetwork.decoder.fills`) are left out: the loop fills them.
    """

    inputs = (IMAGE,)

    def __init__(self, network: CaptionNetwork, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.encoder, self.decoder = network.encoder, network.decoder
        self.mean, self.std = tuple(mean), tuple(std)
        memory, state = _names(network)
        self.outputs = (*memory, *(name for name in state if name not in self.decoder.fills))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The tensors of ``outputs``, in that order."""
        # In contiguous memory: torch's export adds nodes for any other order.
        memory, state = self.decoder.start(self.encoder(normalise(unit(image).contiguous(), self.mean, self.std)))
        found = {**memory, **state}
        return tuple(found[name] for name in self.outputs)


class StepGraph(nn.Module):
    """The token before, the state and the memory -> log-probabilities (B, V) of the next word, and the new state.

    ``inputs`` are ``token`` (B,) int64, the names in ``state`` and those in ``memory``; ``outputs`` are
    ``log_probabilities``, the new state under ``next_`` names, which ``fed`` maps to the names of the inputs, and, if
    the decoder has attention, ``attention`` (B, L). All shapes except the batch are fixed.
    """

    def __init__(self, network: CaptionNetwork) -> None:
        super().__init__()
        self.decoder = network.decoder
        self.features = network.encoder.shape
        self.memory, self.state = _names(network)
        self.inputs = (TOKEN, *self.state, *self.memory)
        self.fed = {f"next_{name}": name for name in self.state}
        self.outputs = (LOG_PROBABILITIES, *self.fed, *((ATTENTION,) if self.decoder.attends else ()))

    def forward(self, token: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The tensors of ``outputs`` for those of ``inputs``, in these orders."""
        count = len(self.state)
        state = dict(zip(self.state, tensors[:count], strict=True))
        memory = dict(zip(self.memory, tensors[count:], strict=True))
        logits, after, attention = self.decoder.step(token, state, memory)
        seen = () if attention is None else (attention,)
        return torch.log_softmax(logits, 1), *(after[name] for name in self.state), *seen

    @torch.no_grad()
    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input, for the first word and features of 0."""
        memory, state = self.decoder.start(torch.zeros(rows, *self.features))
        return {TOKEN: torch.zeros(rows, dtype=torch.int64), **state, **memory}


@torch.no_grad()
def _names(network: CaptionNetwork) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the memory and of the state."""
    memory, state = network.decoder.start(torch.zeros(1, *network.encoder.shape))
    return tuple(memory), tuple(state)
