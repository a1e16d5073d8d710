"""LeNet-5 (I2DL X.1; LeCun et al., "Gradient-based learning applied to document recognition", 1998)."""

from torch import Tensor, nn

from models.layers.activation import build_activation, pieces
from models.layers.dropout import build_spatial_dropout
from models.layers.initialisation import initialise
from models.layers.normalisation import build_normalisation
from models.variant import Variant


class LeNet5(nn.Module):
    """Convolution, average pooling, tanh, twice; then 120, 84 and ``classes`` units.

    Names are the paper's: C for convolution, S for sub-sampling, F for full connection. As in every modern
    version, S2 and S4 are plain averages without their own gain and bias, C3 sees all the maps of S2 instead
    of the subsets of the paper's table I, and the radial-basis output is a linear one under a softmax.
    With ``cam`` one linear layer over the means of S4's maps takes the place of all after S4.
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        channels: int = 1,
        padding: int = 2,
        cam: bool = False,
        normalisation: str = "none",
        activation: str = "scaled_tanh",
        dropout: float = 0.0,
        spatial_dropout: float = 0.0,
        initialisation: str = "torch",
    ) -> None:
        super().__init__()
        linear_maps = pieces(activation)
        # The paper centres its 28x28 digits in a 32x32 field, which is this padding.
        self.c1 = nn.Conv2d(channels, 6 * linear_maps, kernel_size=5, padding=padding)
        self.n1 = build_normalisation(normalisation, 6 * linear_maps)
        self.a1 = build_activation(activation)
        self.s2 = nn.AvgPool2d(2)
        self.c3 = nn.Conv2d(6, 16 * linear_maps, kernel_size=5)
        self.n3 = build_normalisation(normalisation, 16 * linear_maps)
        self.a3 = build_activation(activation)
        self.s4 = nn.AvgPool2d(2)
        self.spatial_dropout = build_spatial_dropout(spatial_dropout)
        self.dropout = nn.Dropout(dropout)
        self.cam = cam
        if cam:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(16, classes)
        else:
            self.c5 = nn.Linear(16 * 5 * 5, 120 * linear_maps)  # a 5x5 convolution of 5x5 maps is a full connection
            self.a5 = build_activation(activation)
            self.f6 = nn.Linear(120, 84 * linear_maps)
            self.a6 = build_activation(activation)
            self.output = nn.Linear(84, classes)
        initialise(self, initialisation, self.fc if cam else self.output)

    def maps(self, x: Tensor) -> Tensor:
        """S4's maps (B, 16, 5, 5)."""
        x = self.a1(self.n1(self.c1(x)))  # (B, 6, 28, 28)
        x = self.spatial_dropout(self.s2(x))  # (B, 6, 14, 14)
        x = self.a3(self.n3(self.c3(x)))  # (B, 16, 10, 10)
        s4: Tensor = self.spatial_dropout(self.s4(x))  # (B, 16, 5, 5)
        return s4

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 1, 28, 28), or (B, C, 32, 32) without padding."""
        x = self.maps(x)  # (B, 16, 5, 5)
        logits: Tensor
        if self.cam:
            x = self.avgpool(x).flatten(1)  # (B, 16, 1, 1) -> (B, 16)
            logits = self.fc(self.dropout(x))  # (B, classes)
            return logits
        x = x.flatten(1)  # (B, 16, 5, 5) -> (B, 400)
        x = self.dropout(self.a5(self.c5(x)))  # (B, 120)
        x = self.dropout(self.a6(self.f6(x)))  # (B, 84)
        logits = self.output(x)  # (B, classes)
        return logits


LECTURE = "I2DL X.1, LeNet; LeCun et al. 1998"
DESCRIPTION = (
    "The first convolutional network in daily use: two rounds of 5x5 convolution, tanh and "
    "average pooling, then three full connections. Maps shrink as their number grows."
)

VARIANTS = (
    Variant(
        name="lenet5",
        family=LeNet5,
        config={"classes": 10},
        input_shape=(1, 28, 28),
        parameters=61_706,
        macs=416_520,
        receptive_field=16,
        title="LeNet-5",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="lenet5-32",
        family=LeNet5,
        config={"classes": 10, "channels": 3, "padding": 0},
        input_shape=(3, 32, 32),
        parameters=62_006,
        macs=651_720,
        receptive_field=16,
        title="LeNet-5, colour",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
)
