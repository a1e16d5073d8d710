"""VGG (I2DL X.3; Simonyan and Zisserman 2014, arXiv:1409.1556)."""

from collections.abc import Sequence

from torch import nn

from models.layers.activation import build_activation, pieces
from models.layers.dropout import build_spatial_dropout
from models.layers.feature_classifier import FeatureClassifier
from models.layers.normalisation import build_normalisation
from models.layers.sequence import sequence
from models.variant import Variant


class VGG(FeatureClassifier):
    """Stages of 3x3 convolutions that keep the size, each followed by a max pooling that halves it; then as AlexNet.

    ``widths`` gives the maps of each convolution of each stage. The last maps are averaged to ``grid`` x ``grid``
    before the two full connections of ``hidden`` units; with ``cam``, to 1 x 1 before a single linear layer.
    Parameters are named as torchvision's are, and as there a convolution keeps its bias under batch norm.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        grid: int = 7,
        hidden: int = 4096,
        classes: int = 1000,
        *,
        channels: int = 3,
        cam: bool = False,
        normalisation: str = "none",
        activation: str = "relu",
        dropout: float = 0.5,
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        linear_maps = pieces(activation)
        layers: list[nn.Module] = []
        inputs = channels
        for stage in widths:
            for width in stage:
                layers += [
                    nn.Conv2d(inputs, width * linear_maps, kernel_size=3, padding=1),
                    build_normalisation(normalisation, width * linear_maps),
                    build_activation(activation),
                ]
                inputs = width
            layers += [nn.MaxPool2d(2), build_spatial_dropout(spatial_dropout)]
        super().__init__(
            sequence(layers),
            inputs,
            grid,
            hidden,
            classes,
            cam=cam,
            activation=activation,
            dropout=dropout,
            dropout_first=False,
            initialisation=initialisation,
        )


LECTURE = "I2DL X.3, VGGNet; Simonyan and Zisserman 2014"

# The paper's configurations A, B, D and E: convolutions a stage, multiply-accumulates, field of the last maps, and
# parameters without and with batch norm.
DEPTHS = {
    "vgg11": ((1, 1, 2, 2, 2), 7_609_090_048, 150, 132_863_336, 132_868_840),
    "vgg13": ((2, 2, 2, 2, 2), 11_308_466_176, 156, 133_047_848, 133_053_736),
    "vgg16": ((2, 2, 3, 3, 3), 15_470_264_320, 212, 138_357_544, 138_365_992),
    "vgg19": ((2, 2, 4, 4, 4), 19_632_062_464, 268, 143_667_240, 143_678_248),
}
WIDTHS = (64, 128, 256, 512, 512)


def _published(name: str, normalisation: str) -> Variant:
    depths, macs, field, plain, normalised = DEPTHS[name]
    batch = normalisation == "batch"
    widths = tuple((width,) * depth for width, depth in zip(WIDTHS, depths, strict=True))
    return Variant(
        name=f"{name}-bn" if batch else name,
        family=VGG,
        config={"widths": widths, "normalisation": normalisation, "classes": 1000},
        input_shape=(3, 224, 224),
        parameters=normalised if batch else plain,
        macs=macs,
        receptive_field=field,
        title=f"VGG-{sum(depths) + 3}{' with batch norm' if batch else ''}",
        lecture=LECTURE,
        description="Only 3x3 convolutions and 2x2 poolings, many of them: two small kernels see what one large one "
        "does, with fewer parameters and one more rectifier.",
    )


SMALL = {
    "widths": ((32, 32), (64, 64), (128, 128)),
    "cam": True,
    "normalisation": "batch",
    "dropout": 0.3,
    "classes": 10,
}
SMALL_DESCRIPTION = (
    "Three stages of two 3x3 convolutions with batch norm; the means of the last 128 maps are scored by one linear "
    "layer, so that the maps show where each class was seen."
)

VARIANTS = (
    *(_published(name, normalisation) for normalisation in ("none", "batch") for name in DEPTHS),
    Variant(
        name="vgg7-32",
        family=VGG,
        config=SMALL,
        input_shape=(3, 32, 32),
        parameters=289_194,
        macs=38_634_752,
        receptive_field=36,
        title="VGG-7, small, colour",
        lecture=LECTURE,
        description=SMALL_DESCRIPTION,
    ),
    Variant(
        name="vgg7-28",
        family=VGG,
        config={**SMALL, "channels": 1},
        input_shape=(1, 28, 28),
        parameters=288_618,
        macs=29_128_448,
        receptive_field=36,
        title="VGG-7, small, grey",
        lecture=LECTURE,
        description=SMALL_DESCRIPTION,
    ),
)
