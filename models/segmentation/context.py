"""A residual network with dilated convolutions (DL 14; Yu and Koltun 2016, arXiv:1511.07122; Yu et al. 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.layers.dropout import build_spatial_dropout
from models.layers.initialisation import initialise
from models.layers.normalisation import build_normalisation
from models.layers.sequence import sequence
from models.segmentation.segmenter import Segmenter
from models.variant import Variant


def convolution(
    inputs: int, outputs: int, kernel: int, normalisation: str, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """A convolution that keeps the size except for its stride, and its normalisation."""
    padding = dilation * (kernel // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=normalisation == "none"),
        build_normalisation(normalisation, outputs),
    ]


class DilatedBlock(nn.Module):
    """y = relu(F(x) + shortcut(x)), F two 3x3 convolutions, the second with ``dilation``.

    A dilated kernel skips pixels: nine weights see a square of 2 ``dilation`` + 1 pixels a side, at the full
    resolution and the same cost.
    """

    def __init__(
        self, inputs: int, width: int, stride: int, dilation: int, normalisation: str, spatial_dropout: float
    ) -> None:
        super().__init__()
        self.residual = sequence(
            [
                *convolution(inputs, width, 3, normalisation, stride),
                nn.ReLU(),
                *convolution(width, width, 3, normalisation, dilation=dilation),
                build_spatial_dropout(spatial_dropout),
            ]
        )
        same = stride == 1 and inputs == width
        self.shortcut = nn.Identity() if same else sequence(convolution(inputs, width, 1, normalisation, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width, H / stride, W / stride)."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class Refinement(nn.Module):
    """y = convolution(relu(up(coarse) + fine)): what coarse maps know, at the places of finer ones."""

    def __init__(self, coarse: int, fine: int, normalisation: str) -> None:
        super().__init__()
        self.coarse = sequence(convolution(coarse, fine, 1, normalisation))
        self.fine = sequence(convolution(fine, fine, 1, normalisation))
        self.convolution = sequence([*convolution(fine, fine, 3, normalisation), nn.ReLU()])

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, coarse, h, w) and (B, fine, H, W) -> (B, fine, H, W)."""
        up = interpolate(self.coarse(coarse), fine.shape[2:], mode="bilinear")  # (B, fine, H, W)
        y: Tensor = self.convolution(torch.relu(up + self.fine(fine)))
        return y


class ContextNetwork(Segmenter):
    """Residual stages at a half, a quarter and an eighth of the size, the last with growing ``dilations``.

    The eighth is kept: instead of pooling further, dilation widens what a unit sees. The mean over all places is added
    to each place, so that every pixel knows the whole image (ParseNet; Liu et al. 2015, arXiv:1506.04579). Two
    refinements then go back to a half of the size, and the scores are interpolated to the image.
    """

    divisor = 8

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        dilations: Sequence[int],
        classes: int = 11,
        *,
        channels: int = 3,
        normalisation: str = "batch",
        spatial_dropout: float = 0.1,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.stem = sequence([*convolution(channels, half, 3, normalisation, stride=2), nn.ReLU()])
        self.halves = _stage(half, half, 1, [1] * depths[0], normalisation, 0.0)
        self.quarters = _stage(half, quarter, 2, [1] * depths[1], normalisation, 0.0)
        self.eighths = _stage(quarter, eighth, 2, dilations, normalisation, spatial_dropout)
        self.whole = nn.Conv2d(eighth, eighth, 1)
        self.refine_quarters = Refinement(eighth, quarter, normalisation)
        self.refine_halves = Refinement(quarter, half, normalisation)
        self.dropout = build_spatial_dropout(spatial_dropout)
        self.score = nn.Conv2d(half, classes, 1)
        initialise(self, initialisation)
        # Scores that all begin near 0 are alike, and then the maps learn only slowly what tells classes apart.
        self.score.reset_parameters()

    def scores(self, x: Tensor) -> Tensor:
        """See `Segmenter`."""
        halves = self.halves(self.stem(x))  # (B, half, H / 2, W / 2)
        quarters = self.quarters(halves)  # (B, quarter, H / 4, W / 4)
        eighths = self.eighths(quarters)  # (B, eighth, H / 8, W / 8)
        eighths = eighths + self.whole(eighths.mean((2, 3), keepdim=True))  # (B, eighth, 1, 1), added to each place
        quarters = self.refine_quarters(eighths, quarters)  # (B, quarter, H / 4, W / 4)
        halves = self.refine_halves(quarters, halves)  # (B, half, H / 2, W / 2)
        return interpolate(self.score(self.dropout(halves)), x.shape[2:], mode="bilinear")  # (B, classes, H, W)


def _stage(
    inputs: int, width: int, stride: int, dilations: Sequence[int], normalisation: str, spatial_dropout: float
) -> nn.Sequential:
    """Blocks with ``dilations``, the first of which has the ``stride``."""
    return nn.Sequential(
        *(
            DilatedBlock(
                width if number else inputs,
                width,
                1 if number else stride,
                dilation,
                normalisation,
                spatial_dropout,
            )
            for number, dilation in enumerate(dilations)
        )
    )


VARIANTS = (
    Variant(
        name="context",
        family=ContextNetwork,
        config={
            "widths": (32, 64, 128),
            "depths": (2, 2),
            "dilations": (1, 2, 4, 8, 2, 4, 8),
            "classes": 11,
        },
        input_shape=(3, 180, 240),
        parameters=2_251_339,
        macs=2_398_787_584,
        title="Context network",
        lecture="DL 14, dilated convolution; Yu and Koltun 2016",
        description="Kernels that skip pixels see far without pooling: the maps stay at an eighth of the image's size, "
        "and two refinements bring back the edges.",
    ),
)
