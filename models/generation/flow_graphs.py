"""The two graphs that serve a flow: one makes images of latents, the other scores images."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from models.generation.flow import LEVELS, Flow, dequantise
from models.generation.glow import InvertibleConvolution
from models.generation.images import to_image, to_maps
from models.generation.levels import bits_per_dim

LATENT, TEMPERATURE, IMAGE, NOISE = "latent", "temperature", "image", "noise"
LOG_LIKELIHOOD, BITS_PER_DIM = "log_likelihood", "bits_per_dim"


class FlowSampler(nn.Module):
    """``latent`` (B, D) standard normal, times ``temperature`` (B,) -> ``image`` uint8 (B, h, w) or (B, h, w, 3).

    ``margin`` is how many pixels on each side are padding, which is cut off. The weights are copies, with their
    inverses as they are now.
    """

    inputs, outputs = (LATENT, TEMPERATURE), (IMAGE,)

    def __init__(self, flow: Flow, margin: int = 0) -> None:
        super().__init__()
        self.flow, self.margin = deepcopy(flow).requires_grad_(False), margin
        for layer in self.flow.modules():
            if isinstance(layer, InvertibleConvolution):
                layer.freeze()

    def forward(self, latent: Tensor, temperature: Tensor) -> tuple[Tensor]:
        """The ``image`` of ``latent``, as the class says."""
        x = self.flow.inverse(latent * temperature.unsqueeze(1))  # (B, C, H, W), mostly in 0..1
        return (to_image((x * LEVELS).floor().clamp(0, LEVELS - 1), self.margin),)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        return {LATENT: torch.zeros(rows, self.flow.dimensions), TEMPERATURE: torch.ones(rows)}


class FlowScore(nn.Module):
    """uint8 images and ``noise`` (B, C, H, W), uniform in [0, 1) -> their likelihood, and their latents.

    ``outputs`` are ``log_likelihood`` in nats and ``bits_per_dim``, (B,) float32 each, lower and upper bounds in the
    mean over the noise; and ``latent`` (B, D). ``margin`` black pixels are put around the images, and count among D.
    """

    inputs, outputs = (IMAGE, NOISE), (LOG_LIKELIHOOD, BITS_PER_DIM, LATENT)

    def __init__(self, flow: Flow, margin: int = 0) -> None:
        super().__init__()
        self.flow, self.margin = flow, margin

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The tensors of ``outputs``."""
        nats, latent = self.flow.score(dequantise(to_maps(image, self.margin), noise))
        return nats, bits_per_dim(nats, self.flow.dimensions), latent

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        channels, height, width = self.flow.shape
        size = (height - 2 * self.margin, width - 2 * self.margin)
        shape = (rows, *size) if channels == 1 else (rows, *size, channels)
        noise = torch.full((rows, channels, height, width), 0.5)
        return {IMAGE: torch.zeros(shape, dtype=torch.uint8), NOISE: noise}
