"""Generative adversarial networks (DL 27; I2DL XII.5; CV V; Goodfellow et al. 2014; DCGAN: Radford et al. 2015)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.generation.dense import with_label
from models.layers.sequence import sequence
from models.variant import Variant

KERNEL, STRIDE, PADDING = 4, 2, 1  # halves an even side, and doubled by the transposed convolution
DEVIATION = 0.02  # of the first weights (Radford et al. 2015, section 4)
SLOPE = 0.2
NORMALISATIONS = ("batch", "spectral", "none")


class Generator(nn.Module):
    """G(z): z is projected to small maps, which transposed convolutions double in size; tanh gives pixels of -1..1.

    Batch norm and a rectifier follow each layer but the last. With ``classes``, the label stands beside z (Mirza and
    Osindero 2014, arXiv:1411.1784).
    """

    def __init__(self, shape: Sequence[int], latent: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.classes = classes
        self.first = (widths[0], height >> len(widths), width >> len(widths))
        inputs, (maps, h, w) = latent + classes, self.first
        self.projection = nn.Linear(inputs, maps * h * w, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(maps), nn.ReLU()]
        for above, below in pairwise(widths):
            layers += [nn.ConvTranspose2d(above, below, KERNEL, STRIDE, PADDING, bias=False)]
            layers += [nn.BatchNorm2d(below), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, KERNEL, STRIDE, PADDING), nn.Tanh()]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) of -1..1 for latents z (B, latent), and with classes of labels (B,)."""
        h = self.projection(with_label(z, label, self.classes)).unflatten(1, self.first)  # (B, K h w) -> (B, K, h, w)
        x: Tensor = self.convolutions(h)  # (B, C, H, W)
        return x


class Discriminator(nn.Module):
    """The logit of D(x), the probability that an image is real: convolutions that halve the side, and a linear layer.

    ``normalisation`` is ``batch``, in all layers but the first (DCGAN), ``spectral``, which bounds how steep each layer
    is (Miyato et al. 2018, arXiv:1802.05957), or ``none``. With ``classes``, a map for each class stands beside the
    image, 1 for its label and else 0.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int], classes: int, normalisation: str) -> None:
        super().__init__()
        channels, height, width = shape
        self.classes = classes
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise((channels + classes, *widths))):
            batch = normalisation == "batch" and number > 0
            layers.append(nn.Conv2d(inputs, outputs, KERNEL, STRIDE, PADDING, bias=not batch))
            layers += [nn.BatchNorm2d(outputs) if batch else nn.Identity(), nn.LeakyReLU(SLOPE)]
        self.convolutions = sequence(layers)
        self.score = nn.Linear(widths[-1] * (height >> len(widths)) * (width >> len(widths)), 1)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (B,) of images (B, C, H, W) of -1..1, and with classes of labels (B,)."""
        h = self.convolutions(with_label(x, label, self.classes))  # (B, C + classes, H, W) -> (B, K, h, w)
        logits: Tensor = self.score(h.flatten(1))  # (B, 1)
        return logits[:, 0]


class GAN(nn.Module):
    """min over G, max over D of E log D(x) + E log(1 - D(G(z))), z standard normal (I2DL XII.5).

    ``widths`` are the maps of each size of the generator, the smallest first, and mirrored those of the discriminator.
    `generator` and `discriminator` have an optimiser each; only the generator is deployed. Images are of -1..1.

    Raises:
        KeyError: there is no such normalisation.
        ValueError: the widths cannot halve the image so often.
    """

    def __init__(
        self,
        latent: int = 64,
        widths: Sequence[int] = (128, 64),
        shape: Sequence[int] = (1, 28, 28),
        *,
        classes: int = 0,
        discriminator_normalisation: str = "batch",
    ) -> None:
        super().__init__()
        if discriminator_normalisation not in NORMALISATIONS:
            raise KeyError(f"no normalisation {discriminator_normalisation!r}; there are {', '.join(NORMALISATIONS)}")
        if not widths or any(side % (1 << len(widths)) for side in shape[1:]):
            raise ValueError(f"{len(widths)} widths cannot halve {shape[1]}x{shape[2]} so often; sides must stay whole")
        self.latent, self.shape, self.classes = latent, tuple(shape), classes
        self.generator = Generator(shape, latent, widths, classes)
        self.discriminator = Discriminator(shape, widths[::-1], classes, discriminator_normalisation)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=DEVIATION)
        if discriminator_normalisation == "spectral":
            for module in self.discriminator.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) of 0..1 for latents z (B, latent)."""
        x: Tensor = self.generator(z, label)
        return (x + 1) / 2

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) of -1..1 for latents z (B, latent), and with classes of labels (B,)."""
        x: Tensor = self.generator(z, label)
        return x

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` latents of 0."""
        found = {"z": torch.zeros(rows, self.latent)}
        return found | ({"label": torch.zeros(rows, dtype=torch.int64)} if self.classes else {})


def _row(name: str, title: str, config: dict[str, object], counts: tuple[int, int], more: str = "") -> Variant:
    parameters, macs = counts
    shape = (3, 32, 32) if name.endswith("-32") else (1, 28, 28)
    return Variant(
        name=name,
        family=GAN,
        config={**config, "shape": shape},
        input_shape=shape,
        parameters=parameters,
        macs=macs,
        title=title,
        lecture="DL 27, Generative Adversarial Networks; Goodfellow et al. 2014; Radford et al. 2015",
        description="A generator learns from a discriminator, which learns to tell its images from real ones: there is "
        f"no likelihood, only the contest.{more}",
    )


# Parameters of both networks, and multiply-accumulates of the generator.
VARIANTS = (
    _row("dcgan", "DCGAN", {"latent": 64, "widths": (128, 64)}, (672_578, 7_024_640)),
    _row(
        "cdcgan",
        "Conditional DCGAN",
        {"latent": 64, "widths": (128, 64), "classes": 10},
        (745_538, 7_087_360),
        " Both are told the class.",
    ),
    _row("dcgan-32", "DCGAN, colour", {"latent": 64, "widths": (192, 96, 48)}, (942_868, 10_223_616)),
)
