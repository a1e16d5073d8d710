"""Autoencoders (DL 19-21; I2DL XII.7; MP 8; Rumelhart et al. 1986; Vincent et al. 2010, JMLR 11)."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models.layers.activation import build_activation, pieces
from models.layers.initialisation import initialise
from models.variant import Variant

PENALTIES = ("none", "l1", "kl")
CORRUPTIONS = ("none", "mask", "salt_and_pepper", "gaussian")
CODES = ("linear", "sigmoid", "relu", "tanh")


class Autoencoder(nn.Module):
    """h = f(x), r = g(h), trained so that r is x (DL 19); f has linear layers of ``widths``, and g is its mirror image.

    The last of ``widths`` is the code's. It is smaller than the image (undercomplete), or larger and then kept from
    copying it by ``penalty``, Omega(h) of weight ``strength``: ``l1``, or ``kl`` towards a mean activation of
    ``sparsity``, for which ``code`` is ``sigmoid`` (DL 21.1). Or x is corrupted, and its r compared with the clean one
    (DL 21.3): ``corruption`` sets a share ``noise`` of the pixels to 0 (``mask``) or to 0 or 1 (``salt_and_pepper``),
    or adds Gaussian noise of that deviation. Pixels are in 0..1, and r is a sigmoid.

    Raises:
        KeyError: there is no such code, activation, penalty or corruption.
        ValueError: the penalty is ``kl`` and the code no sigmoid, there are no widths, or a number is out of its range.
    """

    def __init__(
        self,
        widths: Sequence[int] = (256, 32),
        shape: Sequence[int] = (1, 28, 28),
        *,
        code: str = "linear",
        activation: str = "relu",
        penalty: str = "none",
        strength: float = 0.0,
        sparsity: float = 0.05,
        corruption: str = "none",
        noise: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        _check("code", code, CODES)
        _check("penalty", penalty, PENALTIES)
        _check("corruption", corruption, CORRUPTIONS)
        if penalty == "kl" and (code != "sigmoid" or not 0 < sparsity < 1):
            raise ValueError(
                f"penalty kl has a code {code!r} and sparsity {sparsity}; it needs 'sigmoid' and one between 0 and 1"
            )
        if not widths:
            raise ValueError("widths is empty; the last of at least one is the code's")
        if noise < 0 or (noise > 1 and corruption != "gaussian"):
            raise ValueError(f"noise is {noise}; a share of pixels is 0 to 1, and a deviation at least 0")
        self.shape, self.penalty, self.strength, self.sparsity = tuple(shape), penalty, strength, sparsity
        self.corruption, self.noise, self.activation = corruption, noise, activation
        sides = list(pairwise((math.prod(shape), *widths)))
        units = [*(activation for _ in widths[1:]), code]
        self.encoders = nn.ModuleList(_level(a, b, unit) for (a, b), unit in zip(sides, units, strict=True))
        # Level 0 gives the logits of pixels; every other one what the encoder's level before it gave.
        units = ["linear", *(activation for _ in widths[1:])]
        self.decoders = nn.ModuleList(_level(b, a, unit) for (a, b), unit in zip(sides, units, strict=True))
        initialise(self, initialisation)

    def encode(self, x: Tensor) -> Tensor:
        """The code h (B, widths[-1]) of images (B, C, H, W)."""
        h = x.flatten(1)  # (B, D)
        for level in self.encoders:
            h = level(h)  # (B, widths[level])
        return h

    def logits(self, h: Tensor) -> Tensor:
        """The logits (B, C, H, W) of the pixels for codes h (B, widths[-1])."""
        for level in reversed(self.decoders):
            h = level(h)
        return h.reshape(-1, *self.shape)

    def decode(self, h: Tensor) -> Tensor:
        """Images (B, C, H, W) in 0..1 of codes h (B, widths[-1])."""
        return self.logits(h).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction r (B, C, H, W) of images x; denoised, if they are noisy."""
        return self.decode(self.encode(x))

    def corrupt(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``x`` (B, ...) with noise drawn by ``generator``."""
        if self.corruption == "none":
            return x
        if self.corruption == "gaussian":
            return x + self.noise * torch.randn(x.shape, generator=generator, device=x.device)
        u = torch.rand(x.shape, generator=generator, device=x.device)
        noisy = x * (u >= self.noise)
        # Of the share below the noise, half are salt.
        return noisy + (u < self.noise / 2).to(x.dtype) if self.corruption == "salt_and_pepper" else noisy

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """L(x, r) + strength Omega(h): the cross-entropy in nats an image, of the corrupted x against the clean one."""
        h = self.encode(self.corrupt(x, generator))
        return cross_entropy(x, self.logits(h)) + self.strength * self.omega(h)

    def omega(self, h: Tensor) -> Tensor:
        """The penalty of codes h (B, K): sum_j |h_j|, or sum_j KL(sparsity || mean of h_j over the batch)."""
        if self.penalty == "l1":
            return h.abs().sum(1).mean()
        if self.penalty == "kl":
            rho, mean = self.sparsity, h.mean(0).clamp(1e-6, 1 - 1e-6)  # (K,)
            return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()
        return h.new_zeros(())

    def level_loss(self, level: int, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The loss of one level alone, for layer-wise pre-training (DL 21.4), the first level first.

        The levels below are fixed, and encode the clean images; this one's input is corrupted and reconstructed. The
        loss is the cross-entropy for pixels and for sigmoid units, else the squared error, summed over the units.

        Raises:
            ValueError: there is no such level.
        """
        if not 0 <= level < len(self.encoders):
            raise ValueError(f"level is {level}; {len(self.encoders)} levels allow 0 to {len(self.encoders) - 1}")
        with torch.no_grad():
            below = x.flatten(1)  # (B, D)
            for encoder in self.encoders[:level]:
                below = encoder(below)  # (B, widths[level - 1])
        decoder = self.decoders[level]
        assert isinstance(decoder, nn.Sequential)
        h = self.encoders[level](self.corrupt(below, generator))
        if level == 0 or self.activation == "sigmoid":
            return cross_entropy(below, decoder[0](h))  # the logits, before the sigmoid
        error: Tensor = (decoder(h) - below).square().sum(1)
        return error.mean()

    def level_parameters(self, level: int) -> list[nn.Parameter]:
        """What `level_loss` trains."""
        return [*self.encoders[level].parameters(), *self.decoders[level].parameters()]

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape)}


def cross_entropy(x: Tensor, logits: Tensor) -> Tensor:
    """The cross-entropy between values of 0..1 and the sigmoids of ``logits``, both (B, ...): nats a row."""
    return binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


def _check(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise KeyError(f"no {what} {name!r}; there are {', '.join(known)}")


def _level(inputs: int, outputs: int, unit: str) -> nn.Sequential:
    if unit == "linear":
        return nn.Sequential(nn.Linear(inputs, outputs))
    return nn.Sequential(nn.Linear(inputs, outputs * pieces(unit)), build_activation(unit))


def _row(
    name: str, title: str, lecture: str, description: str, config: dict[str, object], counts: tuple[int, int]
) -> Variant:
    return Variant(
        name=name,
        family=Autoencoder,
        config={**config, "shape": (1, 28, 28)},
        input_shape=(1, 28, 28),
        parameters=counts[0],
        macs=counts[1],
        title=title,
        lecture=lecture,
        description=description,
    )


DEEP = {"widths": (500, 250, 32), "activation": "sigmoid", "code": "sigmoid", "initialisation": "xavier"}

# Parameters and multiply-accumulates.
VARIANTS = (
    _row(
        "autoencoder",
        "Autoencoder, 32 values",
        "DL 19, Autoencoders; Rumelhart et al. 1986",
        "What passes through 32 values must be what the image is about: PCA with layers that bend.",
        {"widths": (256, 32)},
        (419_120, 417_792),
    ),
    _row(
        "autoencoder-sparse",
        "Sparse autoencoder, 1,024 units",
        "DL 21.1, Sparse Autoencoders; Ng 2011",
        "More units than pixels, of which an image may use only a few: each becomes a part of a digit.",
        {"widths": (1024,), "code": "sigmoid", "penalty": "kl", "strength": 0.5, "initialisation": "xavier"},
        (1_607_440, 1_605_632),
    ),
    _row(
        "autoencoder-denoising",
        "Denoising autoencoder",
        "DL 21.3, Denoising Autoencoders; Vincent et al. 2008",
        "It sees the image with noise and is asked for the one without, so copying does not help.",
        {"widths": (1024, 512), "code": "relu", "corruption": "gaussian", "noise": 0.5},
        (2_657_552, 2_654_208),
    ),
    _row(
        "autoencoder-stacked",
        "Stacked denoising autoencoder, 500-250-32",
        "DL 21.4, Stacked denoising Autoencoders; Vincent et al. 2010",
        "One level after the other learns to restore what the level below gives, then all are tuned together.",
        {**DEEP, "corruption": "mask", "noise": 0.25},
        (1_052_316, 1_050_000),
    ),
)
