"""Density networks (CV V; MacKay 1995, Nucl. Instrum. Methods A 354; MacKay and Gibbs 1999)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from models.generation.dense import dense
from models.layers.initialisation import initialise
from models.variant import Variant

LEAST_DEVIATION = 0.1  # of a proposal: the weighted draws it is fitted to are often next to one


class DensityNetwork(nn.Module):
    """p(x) = integral of p(x | z) p(z) dz, z standard normal of ``latent`` values, p(x | z) an MLP's Bernoulli pixels.

    The integral is a mean over draws: log p(x) is about log 1/R sum_r p(x | z_r) p(z_r) / q(z_r). With q = p(z) that is
    the lecture's Monte Carlo estimate, whose R must grow with the latents; a `proposal` near the posterior of an image,
    as MacKay suggests, needs fewer. The mean of the estimate of p(x) is right for any R, so that of its logarithm is
    low. Images are binary, (B, C, H, W).
    """

    def __init__(
        self,
        latent: int = 8,
        hidden: Sequence[int] = (200, 200),
        shape: Sequence[int] = (1, 28, 28),
        *,
        activation: str = "tanh",
        initialisation: str = "xavier",
    ) -> None:
        super().__init__()
        self.latent, self.shape = latent, tuple(shape)
        self.hidden = dense((latent, *hidden), activation)
        self.pixels = nn.Linear(hidden[-1] if hidden else latent, math.prod(shape))
        initialise(self, initialisation)

    def logits(self, z: Tensor) -> Tensor:
        """The logit of each pixel's being 1, (R, D), for latents z (R, latent)."""
        found: Tensor = self.pixels(self.hidden(z))
        return found

    def decode(self, z: Tensor) -> Tensor:
        """The probability of each pixel's being 1, (B, C, H, W), for latents z (B, latent)."""
        return self.logits(z).sigmoid().reshape(-1, *self.shape)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) (B, R) of each image x (B, C, H, W) for each latent of z (R, latent)."""
        logits = self.logits(z)  # (R, D)
        return x.flatten(1) @ logits.T - softplus(logits).sum(1)  # (B, D) (D, R) - (R,) -> (B, R)

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x) (B,) in nats, estimated by the draws z (R, latent) from the prior, which all images share."""
        return self.log_joint(x, z).logsumexp(1) - math.log(len(z))

    def proposal(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, (B, latent) each, of each image's posterior by weighted draws z (R, latent) of the prior.

        Each draw weighs p(x | z_r); the deviation is at least `LEAST_DEVIATION`.
        """
        weights = self.log_joint(x, z).softmax(1)  # (B, R)
        mean = weights @ z  # (B, latent)
        variance = weights @ z.square() - mean.square()
        return mean, variance.clamp(min=LEAST_DEVIATION**2).sqrt()

    def importance_log_prob(self, x: Tensor, mean: Tensor, deviation: Tensor, eps: Tensor) -> Tensor:
        """log p(x) (B,) in nats, estimated by draws from the proposal N(mean, deviation^2), both (B, latent).

        ``eps`` (R, B, latent) is standard normal. The proposal must not depend on these draws.
        """
        draws, rows, _ = eps.shape
        z = mean + deviation * eps  # (R, B, latent)
        logits = self.logits(z.flatten(0, 1)).reshape(draws, rows, -1)  # (R B, D) -> (R, B, D)
        log_likelihood = (x.flatten(1) * logits - softplus(logits)).sum(2)  # (R, B)
        log_ratio = (eps.square() - z.square()).sum(2) / 2 + deviation.log().sum(1)  # log p(z) - log q(z): (R, B)
        return (log_likelihood + log_ratio).logsumexp(0) - math.log(draws)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """See `log_prob`."""
        return self.log_prob(x, z)

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0 and ten draws."""
        return {"x": torch.zeros(rows, *self.shape), "z": torch.zeros(10, self.latent)}


VARIANTS = (
    Variant(
        name="density-network",
        family=DensityNetwork,
        config={"latent": 8, "hidden": (200, 200), "shape": (1, 28, 28)},
        input_shape=(1, 28, 28),
        parameters=199_584,
        macs=1_991_840,
        title="Density network, 8 latents",
        lecture="CV V, Density networks; MacKay 1995",
        description="A network makes each pixel's probability of latents. The likelihood averages over draws of these, "
        "most of which explain nothing of an image; the VAE learns where to draw.",
    ),
)
