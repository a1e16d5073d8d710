"""The graphs that serve models of latents: images of random numbers, and latents, codes and scores of images."""

import torch
from torch import Tensor, nn

from models.generation.gan import GAN
from models.generation.semantic_hashing import SemanticHashing
from models.generation.vae import VAE
from models.layers.pixels import unit

LATENT, TRUNCATION, LABEL, IMAGE, NOISE, THRESHOLD = "latent", "truncation", "label", "image", "noise", "threshold"
ELBO, CODE = "elbo", "code"


def to_bytes(x: Tensor) -> Tensor:
    """Pixels (B, C, H, W) of 0..1 -> uint8 (B, H, W) or (B, H, W, 3)."""
    bytes_ = (x * 255).round().clamp(0, 255).to(torch.uint8)
    return bytes_.squeeze(1) if x.shape[1] == 1 else bytes_.permute(0, 2, 3, 1)


class LatentSampler(nn.Module):
    """``latent`` (B, d), standard normal, ``truncation`` (B,) and, if there are classes, ``label`` (B,) -> ``image``.

    The image of the latents times the truncation is uint8, (B, H, W) or (B, H, W, 3). Of a VAE it is the mean of
    p(x | z).
    """

    outputs = (IMAGE,)

    def __init__(self, network: VAE | GAN) -> None:
        super().__init__()
        self.network = network
        self.inputs = (LATENT, TRUNCATION, *((LABEL,) if network.classes else ()))

    def forward(self, latent: Tensor, truncation: Tensor, label: Tensor | None = None) -> tuple[Tensor]:
        """The ``image``, as the class says."""
        return (to_bytes(self.network.decode(latent * truncation.unsqueeze(1), label)),)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        found = {LATENT: torch.zeros(rows, self.network.latent), TRUNCATION: torch.ones(rows)}
        return found | _label(self.network, rows)


class VAEEncoder(nn.Module):
    """``image`` uint8 (B, H, W[, 3]) and, if there are classes, ``label`` (B,) -> ``latent`` (B, d), the mean of q.

    A network that learnt from binary pixels gets grey ones as they are: the mean of the binary ones drawn from them.
    """

    outputs = (LATENT,)

    def __init__(self, network: VAE) -> None:
        super().__init__()
        self.network = network
        self.inputs = (IMAGE, *((LABEL,) if network.classes else ()))

    def forward(self, image: Tensor, label: Tensor | None = None) -> tuple[Tensor]:
        """The ``latent``, as the class says."""
        return (self.network.encode(unit(image).contiguous(), label),)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        return {IMAGE: _images(self.network.shape, rows)} | _label(self.network, rows)


class VAEScore(nn.Module):
    """``image``, ``threshold``, ``noise`` and, if there are classes, ``label`` -> ``elbo`` (B,), in nats.

    ``image`` is uint8 (B, H, W[, 3]) and ``noise`` (B, K, d) standard normal: more draws K tighten the bound, as in
    `VAE.importance_bound`. ``threshold`` (B, C, H, W) in [0, 1) draws binary pixels for a Bernoulli likelihood: a pixel
    is 1 if its grey value is above. Uniform thresholds binarise dynamically. A Gaussian likelihood has no such input.
    """

    outputs = (ELBO,)

    def __init__(self, network: VAE, draws: int = 1) -> None:
        super().__init__()
        self.network, self.draws, self.binary = network, draws, network.likelihood == "bernoulli"
        binary, label = (THRESHOLD,) if self.binary else (), (LABEL,) if network.classes else ()
        self.inputs = (IMAGE, NOISE, *binary, *label)

    def forward(self, image: Tensor, noise: Tensor, *others: Tensor) -> tuple[Tensor]:
        """The ``elbo``; ``others`` are the rest of ``inputs``."""
        given = dict(zip(self.inputs[2:], others, strict=True))
        x = unit(image).contiguous()  # (B, C, H, W)
        if self.binary:
            x = (x > given[THRESHOLD]).to(x.dtype)
        return (self.network.importance_bound(x, noise.transpose(0, 1), given.get(LABEL)),)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        found = {
            IMAGE: _images(self.network.shape, rows),
            NOISE: torch.zeros(rows, self.draws, self.network.latent),
            THRESHOLD: torch.full((rows, *self.network.shape), 0.5),
        }
        return {name: value for name, value in (found | _label(self.network, rows)).items() if name in self.inputs}


class HashCode(nn.Module):
    """``image`` uint8 (B, H, W[, 3]) -> ``code`` uint8 (B, bits / 8)."""

    inputs, outputs = (IMAGE,), (CODE,)

    def __init__(self, network: SemanticHashing) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """The ``code``."""
        return (self.network.pack(unit(image).contiguous()),)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        return {IMAGE: _images(self.network.shape, rows)}


def _images(shape: tuple[int, ...], rows: int) -> Tensor:
    channels, height, width = shape
    return torch.zeros((rows, height, width) if channels == 1 else (rows, height, width, channels), dtype=torch.uint8)


def _label(network: VAE | GAN, rows: int) -> dict[str, Tensor]:
    return {LABEL: torch.zeros(rows, dtype=torch.int64)} if network.classes else {}
