"""Normalising flows: images to standard normal latents and back, with their exact likelihood (DL 28)."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.generation.bijection import Bijection, Centre, Chain, Logit, Mapped, Permutation
from models.generation.coupling import AffineCoupling, dense_conditioner
from models.layers.initialisation import start_at_zero
from models.variant import Variant

LEVELS = 256


def dequantise(values: Tensor, u: Tensor) -> Tensor:
    """x = (v + u) / 256 in 0..1, of levels v in 0..255 and ``u`` uniform in [0, 1), of the same shape.

    A density of whole numbers could be made as high as one likes; with u, its mean is a lower bound of log P(v)
    (Theis et al. 2016, arXiv:1511.01844, section 3.1).
    """
    return (values.to(u.dtype) + u) / LEVELS


class Flow(nn.Module):
    """z = f(x); log p(x) = log N(z; 0, I) + log|det dz/dx| (DL 28).

    ``shape`` (C, H, W) is that of the images, which enter by ``pixels``. The ``scales`` are applied in turn: each gives
    away some of its channels as latents, the last all of them (Dinh et al. 2017, arXiv:1605.08803, section 3.6).
    """

    def __init__(self, shape: Sequence[int], pixels: Bijection, scales: Sequence["Scale"]) -> None:
        super().__init__()
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.pixels, self.scales = pixels, nn.ModuleList(scales)
        self.dimensions = math.prod(self.shape)

    def forward(self, x: Tensor) -> Mapped:
        """Latents (B, C H W) of images (B, C, H, W) in 0..1, and log|det dz/dx| (B,)."""
        x, total = self.pixels(x)
        latents = []
        for scale in self.scales:
            x, latent, found = scale(x)
            latents.append(latent.flatten(1))
            total = total + found
        return torch.cat(latents, 1), total

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` grey images."""
        return {"x": torch.full((rows, *self.shape), 0.5)}

    def inverse(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) of latents (B, C H W); of most, but not of all, they are in 0..1."""
        sizes = [math.prod(scale.latent) for scale in self._each()]
        parts = torch.split(z, sizes, 1)
        x: Tensor | None = None
        for scale, part in reversed(list(zip(self._each(), parts, strict=True))):
            x = scale.inverse(x, torch.unflatten(part, 1, scale.latent))  # (B, *scale.latent), and what went on
        assert x is not None
        return self.pixels.inverse(x)

    def score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log P(v) in nats (B,), of dequantised images ``x`` (B, C, H, W), and their latents (B, C H W).

        It is a lower bound in the mean over the noise: log p(x) - D log 256, since a level is 1/256 wide.
        """
        z, volume = self(x)
        normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)  # log N(z; 0, I), (B,)
        return normal + volume - self.dimensions * math.log(LEVELS), z

    def _each(self) -> list["Scale"]:
        return [scale for scale in self.scales if isinstance(scale, Scale)]


class Scale(nn.Module):
    """Some bijections, after which a part of the channels goes on, ``goes_on`` of them, and the rest are latents.

    With ``prior``, a convolution of what goes on predicts mean and log-deviation of the rest, which are taken off it
    (as in Glow's code); so latents are standard normal whatever the scale. ``shape`` (C, H, W) is that of its output.
    """

    def __init__(self, body: Chain, shape: Sequence[int], goes_on: int, *, prior: bool = False) -> None:
        super().__init__()
        self.body, self.goes_on = body, goes_on
        rest = shape[0] - goes_on
        self.latent = (rest, *shape[1:])
        self.prior = None
        if prior and goes_on:
            self.prior = start_at_zero(nn.Conv2d(goes_on, 2 * rest, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What goes on, latents (B, *latent), and the log-determinant (B,)."""
        y, volume = self.body(x)
        on, rest = y[:, : self.goes_on], y[:, self.goes_on :]
        if self.prior is None:
            return on, rest, volume
        mean, log_deviation = self.prior(on).chunk(2, 1)
        return on, (rest - mean) * (-log_deviation).exp(), volume - log_deviation.flatten(1).sum(1)

    def inverse(self, on: Tensor | None, latent: Tensor) -> Tensor:
        """The input of this scale."""
        if on is None:
            return self.body.inverse(latent)
        if self.prior is not None:
            mean, log_deviation = self.prior(on).chunk(2, 1)
            latent = latent * log_deviation.exp() + mean
        return self.body.inverse(torch.cat((on, latent), 1))


class Flatten(Bijection):
    """(B, C, H, W) -> (B, C H W)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Mapped:
        """See `Bijection`."""
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        return torch.unflatten(y, 1, self.shape)


class CouplingFlow(Flow):
    """Affine couplings of vectors, each after a fixed permutation (DL 28.1-28.3): the lecture's flow, no convolution.

    The conditioners have two hidden layers of ``width`` units.
    """

    def __init__(self, shape: Sequence[int] = (1, 32, 32), *, layers: int = 8, width: int = 256) -> None:
        dimensions = math.prod(shape)
        body: list[Bijection] = [Flatten(shape)]
        for seed in range(layers):
            body += [
                Permutation(dimensions, seed),
                AffineCoupling(dimensions, dense_conditioner(width), maps=False),
            ]
        super().__init__(shape, Logit(), [Scale(Chain(body), (dimensions,), 0)])


PIXELS: Mapping[str, type[Bijection]] = {"logit": Logit, "centre": Centre}


def build_pixels(name: str) -> Bijection:
    """How pixels in 0..1 enter a flow.

    Raises:
        KeyError: there is no such way; the message lists the names.
    """
    if name not in PIXELS:
        raise KeyError(f"no pixels {name!r}; there are {', '.join(PIXELS)}")
    return PIXELS[name]()


VARIANTS = (
    Variant(
        name="coupling-flow",
        family=CouplingFlow,
        config={"shape": (1, 32, 32)},
        input_shape=(1, 32, 32),
        parameters=3_686_400,
        macs=3_670_016,
        title="Flow of affine couplings",
        lecture="DL 28.1-28.3, affine coupling layers and permutations",
        description="Half of the pixels says how the other half is scaled and shifted, then they are shuffled: a map "
        "to normal noise that can be undone, so the likelihood is exact.",
    ),
)
