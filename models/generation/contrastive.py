"""Representations learnt without labels: SimCLR and rotations (CV V; Chen et al. 2020; Gidaris et al. 2018)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.classification.resnet import ResNet
from models.layers.initialisation import initialise
from models.variant import Variant

TURNS = 4  # 0, 90, 180 and 270 degrees


class Encoder(ResNet):
    """h = f(x), the means of a small residual network's last maps: a `ResNet` without its scores."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], channels: int) -> None:
        super().__init__("basic", depths, widths, 1, small_images=True, channels=channels)
        del self.fc, self.dropout
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, widths[-1]) of normalised images (B, channels, H, W)."""
        h: Tensor = self.avgpool(self.maps(x)).flatten(1)  # (B, K, h, w) -> (B, K, 1, 1) -> (B, K)
        return h


class SimCLR(nn.Module):
    """z = g(h), h = f(x), alike for two views of an image and unlike for others (arXiv:2002.05709).

    f is the encoder and g the head, W2 relu(W1 h), through which the loss, NT-Xent, compares views by their cosine. The
    head forgets what augmentation changes, so h is what is used afterwards.
    """

    def __init__(
        self,
        depths: Sequence[int] = (1, 1, 1),
        widths: Sequence[int] = (16, 32, 64),
        projection: int = 64,
        shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.encoder = Encoder(depths, widths, shape[0])
        features = self.encoder.features
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projection))
        initialise(self.head, "he")

    def encode(self, x: Tensor) -> Tensor:
        """h (B, widths[-1]) of normalised images (B, C, H, W)."""
        h: Tensor = self.encoder(x)
        return h

    def forward(self, x: Tensor) -> Tensor:
        """z (B, projection) of normalised images (B, C, H, W)."""
        z: Tensor = self.head(self.encoder(x))
        return z

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape)}


class RotationNetwork(nn.Module):
    """Which of four ways an image was turned: to say so, one must know what it shows (arXiv:1803.07728).

    `rotate` makes the task from images alone. Digits that look the same upside down, such as 0 and 8, cannot be told.
    """

    def __init__(
        self,
        depths: Sequence[int] = (1, 1, 1),
        widths: Sequence[int] = (16, 32, 64),
        shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.encoder = Encoder(depths, widths, shape[0])
        self.scores = nn.Linear(self.encoder.features, TURNS)
        initialise(self.scores, "he", self.scores)

    def encode(self, x: Tensor) -> Tensor:
        """h (B, widths[-1]) of normalised images (B, C, H, W)."""
        h: Tensor = self.encoder(x)
        return h

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 4) of the quarter turns, for normalised images (B, C, H, W)."""
        logits: Tensor = self.scores(self.encoder(x))
        return logits

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape)}


def rotate(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every image of ``x`` (B, C, S, S) in four ways, (4 B, C, S, S), and how many quarter turns, (4 B,) int64."""
    turned = torch.cat([torch.rot90(x, turns, (2, 3)) for turns in range(TURNS)])
    return turned, torch.arange(TURNS, device=x.device).repeat_interleave(len(x))


def _row(name: str, title: str, config: Mapping[str, Any], counts: tuple[int, int]) -> Variant:
    parameters, macs = counts
    return Variant(
        name=name,
        family=SimCLR,
        config=config,
        input_shape=config["shape"],
        parameters=parameters,
        macs=macs,
        title=title,
        lecture="CV V, Contrastive learning; Chen et al. 2020",
        description="Two views of an image, cropped and distorted, are to be near each other and far from all others: "
        "what is left is what the image shows, though no label was seen.",
    )


SMALL = {"depths": (1, 1, 1), "widths": (16, 32, 64), "shape": (1, 28, 28)}

VARIANTS = (
    _row("simclr", "SimCLR, 64 features", {**SMALL, "projection": 64}, (85_424, 9_353_472)),
    _row(
        "simclr-32",
        "SimCLR, colour, 128 features",
        {"depths": (2, 2, 2), "widths": (32, 64, 128), "shape": (3, 32, 32), "projection": 128},
        (728_352, 105_775_104),
    ),
    Variant(
        name="rotation",
        family=RotationNetwork,
        config=SMALL,
        input_shape=(1, 28, 28),
        parameters=77_364,
        macs=9_345_536,
        title="Rotation prediction, 64 features",
        lecture="CV V, Self-supervised learning with a pretext task; Gidaris et al. 2018",
        description="The network says how often an image was turned by 90 degrees. The task is only a pretext; what it "
        "learns to see is kept.",
    ),
)
