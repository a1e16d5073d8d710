"""GoogLeNet (I2DL X.6; Szegedy et al. 2014, arXiv:1409.4842), with batch norm as in Ioffe and Szegedy 2015."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers.activation import build_activation, pieces
from models.layers.dropout import build_spatial_dropout
from models.layers.initialisation import initialise
from models.layers.normalisation import build_normalisation
from models.variant import Variant

EPS = 1e-3  # of the normalisation, in the published weights

# Maps of each module's branches: 1x1; reduction and 3x3; reduction and 5x5; projection after pooling (table 1).
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class Heads(NamedTuple):
    """Logits (B, classes) of the network, and of its auxiliary heads, the nearest to the image first."""

    logits: Tensor
    auxiliary: tuple[Tensor, Tensor]


class BasicConv2d(nn.Module):
    """A convolution that keeps the size except for its stride, then normalisation and activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, normalisation: str, activation: str, stride: int = 1):
        super().__init__()
        maps = outputs * pieces(activation)
        self.conv = nn.Conv2d(inputs, maps, kernel, stride, kernel // 2, bias=normalisation == "none")
        self.bn = build_normalisation(normalisation, maps, EPS)
        self.activation = build_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.activation(self.bn(self.conv(x)))
        return y


class Inception(nn.Module):
    """1x1, 3x3 and ``large`` convolutions and a max pooling side by side; 1x1 convolutions reduce their channels."""

    def __init__(self, inputs: int, maps: tuple[int, ...], large: int, normalisation: str, activation: str) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = maps
        how = (normalisation, activation)
        self.outputs = one + three + five + pooled
        self.branch1 = BasicConv2d(inputs, one, 1, *how)
        self.branch2 = nn.Sequential(BasicConv2d(inputs, reduce3, 1, *how), BasicConv2d(reduce3, three, 3, *how))
        self.branch3 = nn.Sequential(BasicConv2d(inputs, reduce5, 1, *how), BasicConv2d(reduce5, five, large, *how))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), BasicConv2d(inputs, pooled, 1, *how))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """A small classifier half-way up, which brings the gradient to the lower layers in training."""

    def __init__(self, inputs: int, maps: int, hidden: int, classes: int, normalisation: str, activation: str) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = BasicConv2d(inputs, maps, 1, normalisation, activation)
        self.fc1 = nn.Linear(maps * 4 * 4, hidden * pieces(activation))
        self.activation = build_activation(activation)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of maps (B, inputs, H, W)."""
        x = self.conv(self.pool(x)).flatten(1)  # (B, inputs, 4, 4) -> (B, maps, 4, 4) -> (B, maps * 16)
        logits: Tensor = self.fc2(self.dropout(self.activation(self.fc1(x))))  # (B, hidden) -> (B, classes)
        return logits


def scaled(widths: Sequence[int], scale: float) -> tuple[int, ...]:
    """Each width times ``scale``, at least 1."""
    return tuple(max(round(width * scale), 1) for width in widths)


class GoogLeNet(nn.Module):
    """A stem of convolutions, nine inception modules at three sizes, average pooling and one linear layer.

    ``scale`` multiplies every width. ``large`` is the side of the largest kernels: 5 in the paper, 3 in the
    published weights. For ``small_images`` the stem has neither stride nor its first pooling. With ``auxiliary``
    the network in training answers `Heads` instead of logits; the paper's loss counts each auxiliary one 0.3
    times. Parameters are named as torchvision's are.
    """

    def __init__(
        self,
        scale: float = 1.0,
        classes: int = 1000,
        *,
        large: int = 3,
        small_images: bool = False,
        auxiliary: bool = False,
        channels: int = 3,
        normalisation: str = "batch",
        activation: str = "relu",
        dropout: float = 0.2,
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        how = (normalisation, activation)
        narrow, wide = scaled((64, 192), scale)
        kernel, stride = (3, 1) if small_images else (7, 2)
        self.conv1 = BasicConv2d(channels, narrow, kernel, *how, stride=stride)
        self.maxpool1 = nn.Identity() if small_images else nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(narrow, narrow, 1, *how)
        self.conv3 = BasicConv2d(narrow, wide, 3, *how)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        inputs, outputs = wide, {}
        for name, maps in MODULES.items():
            module = Inception(inputs, scaled(maps, scale), large, *how)
            self.add_module(f"inception{name}", module)
            inputs = outputs[name] = module.outputs
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.spatial_dropout = build_spatial_dropout(spatial_dropout)
        self.auxiliary = auxiliary
        if auxiliary:
            reduced, hidden = scaled((128, 1024), scale)
            self.aux1 = AuxiliaryHead(outputs["4a"], reduced, hidden, classes, *how)
            self.aux2 = AuxiliaryHead(outputs["4d"], reduced, hidden, classes, *how)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)
        scores = (self.fc, self.aux1.fc2, self.aux2.fc2) if auxiliary else (self.fc,)
        initialise(self, initialisation, *scores)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps (B, 1024 scale, h, w); of 224x224, 7x7, and with ``small_images`` those of 32x32 are 4x4."""
        return self._stages(x)[-1]

    def forward(self, x: Tensor) -> Tensor | Heads:
        """Logits (B, classes) of normalised images (B, channels, H, W); `Heads` in training with ``auxiliary``."""
        low, middle, maps = self._stages(x)
        means = self.avgpool(maps).flatten(1)  # (B, K, h, w) -> (B, K, 1, 1) -> (B, K)
        logits: Tensor = self.fc(self.dropout(means))  # (B, classes)
        if self.training and self.auxiliary:
            return Heads(logits, (self.aux1(low), self.aux2(middle)))
        return logits

    def _stages(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs of the modules 4a, 4d and 5b."""
        x = self.maxpool1(self.conv1(x))  # (B, 64 scale, H / 4, W / 4)
        x = self.spatial_dropout(self.maxpool2(self.conv3(self.conv2(x))))  # (B, 192 scale, H / 8, W / 8)
        x = self._inception(x, "3a", "3b")  # (B, 480 scale, H / 8, W / 8)
        x = self.spatial_dropout(self.maxpool3(x))  # (B, 480 scale, H / 16, W / 16)
        low = self._inception(x, "4a")  # (B, 512 scale, H / 16, W / 16)
        middle = self._inception(low, "4b", "4c", "4d")  # (B, 528 scale, H / 16, W / 16)
        x = self._inception(middle, "4e")  # (B, 832 scale, H / 16, W / 16)
        x = self.spatial_dropout(self.maxpool4(x))  # (B, 832 scale, H / 32, W / 32)
        return low, middle, self._inception(x, "5a", "5b")  # (B, 1024 scale, H / 32, W / 32)

    def _inception(self, x: Tensor, *names: str) -> Tensor:
        """``x`` through the modules of these names."""
        for name in names:
            x = self.get_submodule(f"inception{name}")(x)
        return x


LECTURE = "I2DL X.6, Inception Layer: 1x1 Convolution; Szegedy et al. 2014"
DESCRIPTION = (
    "Kernels of several sizes side by side in every module, with 1x1 convolutions before the larger ones to shrink "
    "what they have to see; averages instead of full connections at the end."
)
SMALL = {"scale": 0.25, "large": 5, "small_images": True, "classes": 10}

VARIANTS = (
    Variant(
        name="googlenet",
        family=GoogLeNet,
        config={"classes": 1000},
        input_shape=(3, 224, 224),
        parameters=6_624_904,
        macs=1_498_376_192,
        receptive_field=379,
        title="GoogLeNet",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="googlenet-32",
        family=GoogLeNet,
        config=SMALL,
        input_shape=(3, 32, 32),
        parameters=378_946,
        macs=30_315_008,
        receptive_field=175,
        title="GoogLeNet, a quarter as wide, colour",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="googlenet-28",
        family=GoogLeNet,
        config={**SMALL, "channels": 1},
        input_shape=(1, 28, 28),
        parameters=378_658,
        macs=23_567_216,
        receptive_field=175,
        title="GoogLeNet, a quarter as wide, grey",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
)
