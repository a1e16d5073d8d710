"""Xception (I2DL X.7; Chollet 2016, arXiv:1610.02357)."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers.activation import build_activation, pieces
from models.layers.dropout import build_spatial_dropout
from models.layers.initialisation import initialise
from models.layers.normalisation import build_normalisation
from models.variant import Variant


class Separable(nn.Module):
    """A 3x3 convolution of each map by itself, then a 1x1 across the maps: space and channels one after the other."""

    def __init__(self, inputs: int, outputs: int, normalisation: str) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=normalisation == "none")
        self.norm = build_normalisation(normalisation, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W), normalised."""
        y: Tensor = self.norm(self.pointwise(self.depthwise(x)))
        return y


class Block(nn.Module):
    """y = F(x) + shortcut(x), F separable convolutions of ``widths`` maps, an activation before each.

    With ``pooled``, F ends in a max pooling that halves the size and the shortcut is a 1x1 convolution with stride
    2; otherwise it is the identity. What comes ``activated`` needs no activation before the first convolution.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        normalisation: str,
        activation: str,
        *,
        pooled: bool,
        activated: bool = False,
    ) -> None:
        super().__init__()
        linear_maps = pieces(activation)
        self.outputs = widths[-1] * linear_maps
        width = inputs if activated else inputs // linear_maps
        layers: list[nn.Module] = []
        for index, outputs in enumerate(widths):
            before = nn.Identity() if activated and index == 0 else build_activation(activation)
            layers += [before, Separable(width, outputs * linear_maps, normalisation)]
            width = outputs
        self.residual = nn.Sequential(*layers)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if pooled else nn.Identity()
        self.shortcut = projection(inputs, self.outputs, normalisation) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W), or half of H and W, rounded up."""
        y: Tensor = self.pool(self.residual(x)) + self.shortcut(x)
        return y


def projection(inputs: int, outputs: int, normalisation: str) -> nn.Sequential:
    """A normalised 1x1 convolution of every other pixel."""
    convolution = nn.Conv2d(inputs, outputs, 1, stride=2, bias=normalisation == "none")
    return nn.Sequential(convolution, build_normalisation(normalisation, outputs))


class Xception(nn.Module):
    """A stem of two convolutions; entry flow, pooled blocks; middle flow, of one size; exit flow; a linear layer.

    ``stem`` are the maps of its convolutions, the first with ``stride``; ``entry_flow`` those of the pooled blocks;
    ``middle_flow`` is the number of blocks of three separable convolutions; ``exit_flow`` are the maps of the last
    pooled block and of the two separable convolutions after it, whose means the linear layer scores.
    """

    def __init__(
        self,
        stem: Sequence[int] = (32, 64),
        entry_flow: Sequence[int] = (128, 256, 728),
        middle_flow: int = 8,
        exit_flow: Sequence[int] = (1024, 1536, 2048),
        classes: int = 1000,
        *,
        stride: int = 2,
        padding: int = 0,
        channels: int = 3,
        normalisation: str = "batch",
        activation: str = "relu",
        dropout: float = 0.5,
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        how, linear_maps = (normalisation, activation), pieces(activation)
        self.stem = nn.Sequential()
        for width in stem:
            self.stem += nn.Sequential(
                nn.Conv2d(channels, width * linear_maps, 3, stride, padding, bias=normalisation == "none"),
                build_normalisation(normalisation, width * linear_maps),
                build_activation(activation),
            )
            channels, stride = width, 1
        self.entry = nn.Sequential()
        for width in entry_flow:
            block = Block(channels, (width, width), *how, pooled=True, activated=len(self.entry) == 0)
            self.entry.append(block)
            channels = block.outputs
        width = entry_flow[-1]
        self.middle = nn.Sequential(*(Block(channels, (width,) * 3, *how, pooled=False) for _ in range(middle_flow)))
        first, second, third = exit_flow
        self.exit = nn.Sequential(
            Block(channels, (width, first), *how, pooled=True),
            build_activation(activation),
            Separable(first, second * linear_maps, normalisation),
            build_activation(activation),
            Separable(second, third * linear_maps, normalisation),
            build_activation(activation),
        )
        self.spatial_dropout = build_spatial_dropout(spatial_dropout)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(third, classes)
        initialise(self, initialisation, self.fc)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps (B, exit_flow[-1], h, w); of 299x299, 10x10."""
        x = self.stem(x)  # (B, 64, 147, 147)
        x = self.spatial_dropout(self.entry(x))  # (B, 728, 19, 19)
        x = self.spatial_dropout(self.middle(x))  # (B, 728, 19, 19)
        maps: Tensor = self.exit(x)  # (B, 2048, 10, 10)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, channels, H, W)."""
        x = self.avgpool(self.maps(x)).flatten(1)  # (B, K, h, w) -> (B, K, 1, 1) -> (B, K)
        logits: Tensor = self.fc(self.dropout(x))  # (B, classes)
        return logits


LECTURE = "I2DL X.7, XceptionNet; Chollet 2016"
DESCRIPTION = (
    "Inception taken to its end: every 3x3 convolution looks at one map, every 1x1 at one pixel, in residual blocks; "
    "far fewer multiplications for the same width."
)
SMALL = {
    "stem": (16, 32),
    "entry_flow": (64, 128),
    "middle_flow": 3,
    "exit_flow": (192, 256, 320),
    "stride": 1,
    "padding": 1,
    "dropout": 0.2,
    "classes": 10,
}

VARIANTS = (
    Variant(
        name="xception",
        family=Xception,
        config={"classes": 1000},
        input_shape=(3, 299, 299),
        parameters=22_855_952,
        macs=8_357_403_496,
        receptive_field=1083,
        title="Xception",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="xception-32",
        family=Xception,
        config=SMALL,
        input_shape=(3, 32, 32),
        parameters=418_298,
        macs=35_547_264,
        receptive_field=151,
        title="Xception, small, colour",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="xception-28",
        family=Xception,
        config={**SMALL, "channels": 1},
        input_shape=(1, 28, 28),
        parameters=418_010,
        macs=27_589_632,
        receptive_field=151,
        title="Xception, small, grey",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
)
