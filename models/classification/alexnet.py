"""AlexNet (I2DL X.2; Krizhevsky, Sutskever and Hinton 2012), as in Krizhevsky 2014, arXiv:1404.5997."""

from collections.abc import Sequence

from torch import nn

from models.layers.activation import build_activation, pieces
from models.layers.dropout import build_spatial_dropout
from models.layers.feature_classifier import FeatureClassifier
from models.layers.normalisation import build_normalisation
from models.layers.sequence import sequence
from models.variant import Variant

POOLED = (0, 1, 4)  # the convolutions that a max pooling follows


class AlexNet(FeatureClassifier):
    """Five convolutions, three of them pooled, then two full connections with dropout before the scores.

    ``kernels`` are the sides of the convolutions; the first has ``stride`` and ``padding``, the others keep the
    size. The last maps are averaged down to ``grid`` x ``grid`` before the full connections of ``hidden`` units;
    with ``cam``, to 1 x 1 before a single linear layer. Parameters are named as torchvision's are.
    Images have 63x63 pixels or more with the usual stride.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 192, 384, 256, 256),
        kernels: Sequence[int] = (11, 5, 3, 3, 3),
        stride: int = 4,
        padding: int = 2,
        grid: int = 6,
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
        for index, (width, kernel) in enumerate(zip(widths, kernels, strict=True)):
            how = (stride, padding) if index == 0 else (1, kernel // 2)
            layers += [
                nn.Conv2d(inputs, width * linear_maps, kernel, *how),
                build_normalisation(normalisation, width * linear_maps),
                build_activation(activation),
            ]
            if index in POOLED:
                layers += [nn.MaxPool2d(3, stride=2), build_spatial_dropout(spatial_dropout)]
            inputs = width
        super().__init__(
            sequence(layers),
            inputs,
            grid,
            hidden,
            classes,
            cam=cam,
            activation=activation,
            dropout=dropout,
            dropout_first=True,
            initialisation=initialisation,
        )


LECTURE = "I2DL X.2, AlexNet; Krizhevsky et al. 2012"
SMALL = {
    "widths": (32, 64, 128, 96, 96),
    "kernels": (5, 5, 3, 3, 3),
    "stride": 1,
    "grid": 2,
    "hidden": 256,
    "classes": 10,
}
SMALL_DESCRIPTION = "AlexNet's five convolutions and two full connections, narrowed and without the first stride of 4."

VARIANTS = (
    Variant(
        name="alexnet",
        family=AlexNet,
        config={"classes": 1000},
        input_shape=(3, 224, 224),
        parameters=61_100_840,
        macs=714_188_480,
        receptive_field=195,
        title="AlexNet",
        lecture=LECTURE,
        description="LeNet made a thousand times larger: rectifiers, overlapping max pooling, and dropout in the two "
        "full connections that hold most of the parameters.",
    ),
    Variant(
        name="alexnet-32",
        family=AlexNet,
        config={**SMALL, "grid": 3},
        input_shape=(3, 32, 32),
        parameters=611_082,
        macs=27_362_816,
        receptive_field=51,
        title="AlexNet, small, colour",
        lecture=LECTURE,
        description=SMALL_DESCRIPTION,
    ),
    Variant(
        name="alexnet-28",
        family=AlexNet,
        config={**SMALL, "channels": 1},
        input_shape=(1, 28, 28),
        parameters=486_602,
        macs=19_067_904,
        receptive_field=51,
        title="AlexNet, small, grey",
        lecture=LECTURE,
        description=SMALL_DESCRIPTION,
    ),
)
