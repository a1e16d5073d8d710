"""The variational autoencoder (DL 22-24; I2DL XII.4; CV V; MP 8; Kingma and Welling 2013, arXiv:1312.6114)."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.generation.dense import activated, dense, log_bernoulli, with_label
from models.layers.initialisation import initialise
from models.variant import Variant

LIKELIHOODS = ("bernoulli", "gaussian")
KERNEL, STRIDE, PADDING = 4, 2, 1  # halves an even side, and doubled by the transposed convolution


class Encoder(nn.Module):
    """q(z | x, y) = N(mu, diag sigma^2): convolutions that halve the side for each of ``maps``, then dense layers."""

    def __init__(
        self,
        shape: Sequence[int],
        maps: Sequence[int],
        hidden: Sequence[int],
        latent: int,
        classes: int,
        activation: str,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.classes = classes
        layers: list[nn.Module] = []
        for outputs in maps:
            layers += activated(nn.Conv2d, channels, outputs, activation, KERNEL, STRIDE, PADDING)
            channels, height, width = outputs, height // 2, width // 2
        self.convolutions = nn.Sequential(*layers)
        self.hidden = dense((channels * height * width + classes, *hidden), activation)
        self.mu = nn.Linear(hidden[-1], latent)
        self.log_variance = nn.Linear(hidden[-1], latent)

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2, both (B, latent), of images (B, C, H, W), and with classes of their labels (B,)."""
        h = self.convolutions(x).flatten(1)  # (B, maps[-1], h, w) -> (B, K)
        h = self.hidden(with_label(h, label, self.classes))  # (B, hidden[-1])
        return self.mu(h), self.log_variance(h)


class Decoder(nn.Module):
    """The mirror image of the encoder: p(x | z, y) has a logit or a mean for each pixel."""

    def __init__(
        self,
        shape: Sequence[int],
        maps: Sequence[int],
        hidden: Sequence[int],
        latent: int,
        classes: int,
        activation: str,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.classes = classes
        self.first = (maps[-1] if maps else channels, height >> len(maps), width >> len(maps))  # before it is doubled
        self.hidden = dense((latent + classes, *reversed(hidden)), activation)
        layers: list[nn.Module] = []
        if maps:
            self.projection = nn.Sequential(*activated(nn.Linear, hidden[0], math.prod(self.first), activation))
            for above, below in pairwise(reversed(maps)):
                layers += activated(nn.ConvTranspose2d, above, below, activation, KERNEL, STRIDE, PADDING)
            layers.append(nn.ConvTranspose2d(maps[0], channels, KERNEL, STRIDE, PADDING))
        else:
            self.projection = nn.Sequential(nn.Linear(hidden[0], math.prod(self.first)))
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of latents z (B, latent), and with classes of labels (B,)."""
        h = self.hidden(with_label(z, label, self.classes))  # (B, hidden[0])
        h = self.projection(h).unflatten(1, self.first)  # (B, maps[-1] h w) -> (B, maps[-1], h, w)
        pixels: Tensor = self.convolutions(h)  # (B, C, H, W)
        return pixels


class VAE(nn.Module):
    """log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)), p(z) standard normal: the ELBO, in nats an image.

    Without ``maps`` it is an MLP of the widths ``hidden``; with them, each halves the image before. With ``classes`` it
    is conditional, p(x | y) (Sohn et al. 2015). The likelihood is ``bernoulli``, for pixels of 0 and 1, or
    ``gaussian`` with one learnt deviation for all pixels (Rybkin et al. 2020, arXiv:2006.13202). The draws of z are
    z = mu + sigma eps, so that gradients pass (DL 24.1); ``eps``, standard normal, is an argument.

    Raises:
        KeyError: there is no such likelihood or activation.
        ValueError: the maps cannot halve the image so often, or there is no hidden layer.
    """

    def __init__(
        self,
        latent: int = 40,
        hidden: Sequence[int] = (300, 300),
        maps: Sequence[int] = (),
        shape: Sequence[int] = (1, 28, 28),
        *,
        classes: int = 0,
        likelihood: str = "bernoulli",
        activation: str = "gated",
        initialisation: str = "xavier",
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise KeyError(f"no likelihood {likelihood!r}; there are {', '.join(LIKELIHOODS)}")
        if any(side % (1 << len(maps)) for side in shape[1:]) or not hidden:
            raise ValueError(
                f"{len(maps)} maps halve {shape[1]}x{shape[2]} and {len(hidden)} hidden layers follow; "
                "sides must stay whole, and at least one layer is needed"
            )
        self.latent, self.shape, self.classes, self.likelihood = latent, tuple(shape), classes, likelihood
        self.encoder = Encoder(shape, maps, hidden, latent, classes, activation)
        self.decoder = Decoder(shape, maps, hidden, latent, classes, activation)
        initialise(self, initialisation)
        if likelihood == "gaussian":
            self.log_deviation = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The posterior's mean (B, latent) of images (B, C, H, W)."""
        mu: Tensor = self.encoder(x, label)[0]
        return mu

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The mean of p(x | z): images (B, C, H, W) of latents z (B, latent)."""
        pixels: Tensor = self.decoder(z, label)
        return pixels.sigmoid() if self.likelihood == "bernoulli" else pixels

    def reconstruct(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The image that the posterior's mean decodes to."""
        return self.decode(self.encode(x, label), label)

    def log_likelihood(self, x: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """log p(x | z) (B,) in nats."""
        pixels: Tensor = self.decoder(z, label)
        if self.likelihood == "bernoulli":
            return log_bernoulli(x, pixels)
        errors = (x - pixels).flatten(1) * (-self.log_deviation).exp()  # (B, D), in deviations
        return -(errors.square() / 2 + self.log_deviation + math.log(2 * math.pi) / 2).sum(1)

    def terms(self, x: Tensor, eps: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The two terms of the ELBO, both (B,) in nats: log p(x | z) at one draw, ``eps`` (B, latent), and the KL."""
        mu, log_variance = self.encoder(x, label)
        z = mu + (log_variance / 2).exp() * eps
        return self.log_likelihood(x, z, label), kl(mu, log_variance)

    def elbo(self, x: Tensor, eps: Tensor, label: Tensor | None = None, beta: float = 1.0) -> Tensor:
        """log p(x | z) - beta KL, (B,): a looser bound if ``beta`` is above 1, none below (Higgins et al. 2017)."""
        log_likelihood, divergence = self.terms(x, eps, label)
        return log_likelihood - beta * divergence

    def log_weights(self, x: Tensor, eps: Tensor, label: Tensor | None = None) -> Tensor:
        """log p(x | z_k) p(z_k) / q(z_k | x), (K, B), of the draws ``eps`` (K, B, latent)."""
        draws, rows, _ = eps.shape
        mu, log_variance = self.encoder(x, label)
        z: Tensor = mu + (log_variance / 2).exp() * eps  # (K, B, latent)
        every = x.expand(draws, *x.shape).flatten(0, 1)  # (K B, C, H, W)
        labels = None if label is None else label.expand(draws, -1).flatten()
        log_likelihood = self.log_likelihood(every, z.flatten(0, 1), labels).reshape(draws, rows)  # (K, B)
        log_ratio: Tensor = (eps.square() - z.square() + log_variance).sum(2) / 2  # log p(z) - log q(z | x): (K, B)
        return log_likelihood + log_ratio

    def importance_bound(self, x: Tensor, eps: Tensor, label: Tensor | None = None) -> Tensor:
        """log 1/K sum_k w_k (B,): a bound on log p(x) that K draws tighten (Burda et al. 2015, arXiv:1509.00519)."""
        return self.log_weights(x, eps, label).logsumexp(0) - math.log(len(eps))

    def forward(self, x: Tensor, eps: Tensor, label: Tensor | None = None) -> Tensor:
        """The ELBO (B,) in nats."""
        return self.elbo(x, eps, label)

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        found = {"x": torch.zeros(rows, *self.shape), "eps": torch.zeros(rows, self.latent)}
        return found | ({"label": torch.zeros(rows, dtype=torch.int64)} if self.classes else {})


def kl(mu: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) (B,) in nats: 1/2 sum (mu^2 + sigma^2 - log sigma^2 - 1) (appendix B)."""
    return (mu.square() + log_variance.exp() - log_variance - 1).sum(1) / 2


LECTURE = "DL 24, Variational Autoencoders; Kingma and Welling 2013"
DESCRIPTION = (
    "The encoder says where in a space of Gaussian latents an image may lie, the decoder what a place there looks "
    "like; their bound on the log-likelihood keeps the space dense, so that any place in it gives an image."
)


def _row(name: str, title: str, config: dict[str, object], counts: tuple[int, int], more: str = "") -> Variant:
    parameters, macs = counts
    shape = (3, 32, 32) if name.endswith("-32") else (1, 28, 28)
    return Variant(
        name=name,
        family=VAE,
        config={**config, "shape": shape},
        input_shape=shape,
        parameters=parameters,
        macs=macs,
        title=title,
        lecture=LECTURE,
        description=DESCRIPTION + more,
    )


# Parameters, and multiply-accumulates of one draw's ELBO.
VARIANTS = (
    # Burda et al.'s with one layer of latents: 86.8 nats with 5,000 draws.
    _row("vae", "VAE, 50 latents", {"latent": 50, "hidden": (200, 200), "activation": "tanh"}, (425_284, 423_600)),
    _row("vae-gated", "VAE with gated units, 40 latents", {"latent": 40, "hidden": (300, 300)}, (1_116_864, 1_113_600)),
    _row(
        "vae-conv",
        "Convolutional VAE, 32 latents",
        {"latent": 32, "hidden": (128,), "maps": (32, 32)},
        (890_177, 4_331_520),
    ),
    _row(
        "vae-2d",
        "VAE, 2 latents",
        {"latent": 2, "hidden": (300, 300)},
        (1_071_188, 1_068_000),
        " Two latents can be drawn as a map.",
    ),
    _row(
        "cvae",
        "Conditional VAE, 20 latents",
        {"latent": 20, "hidden": (300, 300), "classes": 10},
        (1_104_824, 1_101_600),
        " Told the class, its latents are free for what differs within one.",
    ),
    _row(
        "vae-conv-32",
        "Convolutional VAE, colour, 128 latents",
        {"latent": 128, "hidden": (256,), "maps": (32, 64, 64), "likelihood": "gaussian"},
        (1_581_316, 14_942_208),
    ),
)
