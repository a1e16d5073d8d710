"""ResNet (I2DL X.4-5; He et al. 2015, arXiv:1512.03385)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import pad

from models.layers.activation import build_activation, pieces
from models.layers.dropout import build_spatial_dropout
from models.layers.initialisation import initialise
from models.layers.normalisation import build_normalisation
from models.layers.sequence import sequence
from models.variant import Variant


def convolution(inputs: int, outputs: int, kernel: int, stride: int, normalisation: str) -> nn.Conv2d:
    """A convolution that keeps the size except for its stride; the shift of a normalisation replaces its bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=normalisation == "none")


class BasicBlock(nn.Module):
    """y = f(F(x) + shortcut(x)), F two 3x3 convolutions of ``width`` maps."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int, shortcut: str, normalisation: str, activation: str):
        super().__init__()
        maps = width * pieces(activation)
        self.conv1 = convolution(inputs, maps, 3, stride, normalisation)
        self.bn1 = build_normalisation(normalisation, maps)
        self.activation1 = build_activation(activation)
        self.conv2 = convolution(width, maps, 3, 1, normalisation)
        self.bn2 = build_normalisation(normalisation, maps)
        self.downsample = build_shortcut(shortcut, inputs, maps, stride, normalisation)
        self.activation2 = build_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width, H / stride, W / stride)."""
        residual = self.activation1(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        y: Tensor = self.activation2(residual + self.downsample(x))
        return y


class Bottleneck(nn.Module):
    """y = f(F(x) + shortcut(x)), F a 1x1 convolution down to ``width`` maps, a 3x3, and a 1x1 up to four times it.

    The 3x3 has the stride, as in every modern version; in the paper the first 1x1 has it.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int, shortcut: str, normalisation: str, activation: str):
        super().__init__()
        maps = width * pieces(activation)
        self.conv1 = convolution(inputs, maps, 1, 1, normalisation)
        self.bn1 = build_normalisation(normalisation, maps)
        self.activation1 = build_activation(activation)
        self.conv2 = convolution(width, maps, 3, stride, normalisation)
        self.bn2 = build_normalisation(normalisation, maps)
        self.activation2 = build_activation(activation)
        self.conv3 = convolution(width, maps * self.expansion, 1, 1, normalisation)
        self.bn3 = build_normalisation(normalisation, maps * self.expansion)
        self.downsample = build_shortcut(shortcut, inputs, maps * self.expansion, stride, normalisation)
        self.activation3 = build_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 width, H / stride, W / stride)."""
        residual = self.activation1(self.bn1(self.conv1(x)))
        residual = self.activation2(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        y: Tensor = self.activation3(residual + self.downsample(x))
        return y


class ZeroPadding(nn.Module):
    """The paper's shortcut A: every ``stride``-th pixel, and maps of zeros for those that x doesn't have.

    The zeros come after x's maps; with ``both_sides`` half of them, rounded down, come before, as in the CIFAR ResNets
    that are most often published. The paper doesn't say which. Neither has weights, so weights learnt with one load
    into the other, and then score badly.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, both_sides: bool = False) -> None:
        super().__init__()
        self.subsample = nn.MaxPool2d(1, stride)
        missing = outputs - inputs
        self.before = missing // 2 if both_sides else 0
        self.after = missing - self.before

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return pad(self.subsample(x), (0, 0, 0, 0, self.before, self.after))


PADDINGS = ("zero_padding", "zero_padding_both_sides")
SHORTCUTS = (*PADDINGS, "projection")


def build_shortcut(name: str, inputs: int, outputs: int, stride: int, normalisation: str) -> nn.Module:
    """The identity where the shapes agree, else one of `SHORTCUTS`: `ZeroPadding`, or a 1x1 ``projection`` (B).

    Raises:
        KeyError: there is no shortcut of that name.
    """
    if name not in SHORTCUTS:
        raise KeyError(f"no shortcut {name!r}; there are {', '.join(SHORTCUTS)}")
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if name in PADDINGS:
        return ZeroPadding(inputs, outputs, stride, both_sides=name == "zero_padding_both_sides")
    return nn.Sequential(
        convolution(inputs, outputs, 1, stride, normalisation), build_normalisation(normalisation, outputs)
    )


BLOCKS: Mapping[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """A stem, then stages of ``depths`` residual blocks of ``widths`` maps; each stage but the first halves the size.

    The stem is a 3x3 convolution for ``small_images``, else a 7x7 with stride 2 and a max pooling. The means of the
    last maps are scored by one linear layer. Parameters are named as torchvision's are.
    """

    def __init__(
        self,
        block: str,
        depths: Sequence[int],
        widths: Sequence[int],
        classes: int = 1000,
        *,
        small_images: bool = False,
        shortcut: str = "projection",
        channels: int = 3,
        normalisation: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise KeyError(f"no block {block!r}; there are {', '.join(BLOCKS)}")
        maps, stem = widths[0] * pieces(activation), (3, 1) if small_images else (7, 2)
        self.conv1 = convolution(channels, maps, *stem, normalisation)
        self.bn1 = build_normalisation(normalisation, maps)
        self.activation = build_activation(activation)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, stride=2, padding=1)
        inputs = widths[0]
        self.stages = [f"layer{number}" for number in range(1, len(depths) + 1)]
        for name, depth, width in zip(self.stages, depths, widths, strict=True):
            build, outputs = BLOCKS[block], width * BLOCKS[block].expansion
            stride = 1 if name == "layer1" else 2
            first = build(inputs, width, stride, shortcut, normalisation, activation)
            others = (build(outputs, width, 1, shortcut, normalisation, activation) for _ in range(depth - 1))
            self.add_module(name, sequence([first, *others, build_spatial_dropout(spatial_dropout)]))
            inputs = outputs
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)
        initialise(self, initialisation, self.fc)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps; of 224x224, 7x7, and with ``small_images`` those of 32x32 are 8x8."""
        x = self.maxpool(self.activation(self.bn1(self.conv1(x))))  # (B, widths[0], h, w)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)  # (B, widths[stage] * expansion, h / 2, w / 2)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, channels, H, W)."""
        x = self.avgpool(self.maps(x)).flatten(1)  # (B, K, h, w) -> (B, K, 1, 1) -> (B, K)
        logits: Tensor = self.fc(self.dropout(x))  # (B, classes)
        return logits


LECTURE = "I2DL X.4-5, Skip Connections and ResNet; He et al. 2015"
WIDTHS = (64, 128, 256, 512)
SMALL = {"block": "basic", "widths": (16, 32, 64), "small_images": True, "shortcut": "zero_padding", "classes": 10}


def _row(name: str, config: Mapping[str, Any], shape: tuple[int, int, int], counts: tuple[int, int, int]) -> Variant:
    parameters, macs, receptive_field = counts
    layers = {"basic": 2, "bottleneck": 3}[config["block"]] * sum(config["depths"]) + 2
    return Variant(
        name=name,
        family=ResNet,
        config=config,
        input_shape=shape,
        parameters=parameters,
        macs=macs,
        receptive_field=receptive_field,
        title=f"ResNet-{layers}{', grey' if shape[0] == 1 else ''}",
        lecture=LECTURE,
        description="Each block adds a correction to its input instead of replacing it: the identity is easy to "
        "learn, gradients pass unhindered, and depth no longer hurts.",
    )


def _published(name: str, block: str, depths: tuple[int, ...], counts: tuple[int, int, int]) -> Variant:
    return _row(name, {"block": block, "depths": depths, "widths": WIDTHS, "classes": 1000}, (3, 224, 224), counts)


# Parameters, multiply-accumulates, receptive field of the last maps.
VARIANTS = (
    # A small encoder of photographs, first trained on CIFAR-10's images at twice their size.
    _row(
        "resnet14",
        {"block": "basic", "depths": (2, 2, 2), "widths": (32, 64, 96), "classes": 10},
        (3, 64, 64),
        (485_802, 27_608_000, 211),
    ),
    _published("resnet18", "basic", (2, 2, 2, 2), (11_689_512, 1_814_073_344, 435)),
    _published("resnet34", "basic", (3, 4, 6, 3), (21_797_672, 3_663_761_408, 899)),
    _published("resnet50", "bottleneck", (3, 4, 6, 3), (25_557_032, 4_089_184_256, 427)),
    _published("resnet101", "bottleneck", (3, 4, 23, 3), (44_549_160, 7_801_405_440, 971)),
    _row("resnet20", {**SMALL, "depths": (3, 3, 3)}, (3, 32, 32), (269_722, 40_551_040, 81)),
    _row("resnet32", {**SMALL, "depths": (5, 5, 5)}, (3, 32, 32), (464_154, 68_862_592, 137)),
    _row("resnet44", {**SMALL, "depths": (7, 7, 7)}, (3, 32, 32), (658_586, 97_174_144, 193)),
    _row("resnet56", {**SMALL, "depths": (9, 9, 9)}, (3, 32, 32), (853_018, 125_485_696, 249)),
    _row("resnet20-28", {**SMALL, "depths": (3, 3, 3), "channels": 1}, (1, 28, 28), (269_434, 30_821_248, 81)),
    # For scenes of digits; its class activation maps are 16x16.
    _row("resnet14-64", {**SMALL, "depths": (2, 2, 2), "channels": 1}, (1, 64, 64), (172_218, 104_399_488, 53)),
)
