"""LeNet-5 (I2DL X.1; LeCun et al., "Gradient-based learning applied to document recognition", 1998)."""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from models.variant import Variant


def squash(a: Tensor) -> Tensor:
    """The paper's activation f(a) = A tanh(S a), A = 1.7159, S = 2/3 (its appendix A), so that f(1) = 1."""
    return 1.7159 * (a * (2 / 3)).tanh()


class LeNet5(nn.Module):
    """Convolution, average pooling, tanh, twice; then 120, 84 and ``classes`` units.

    Names are the paper's: C for convolution, S for sub-sampling, F for full connection. As in every modern
    version, S2 and S4 are plain averages without their own gain and bias, C3 sees all the maps of S2 instead
    of the subsets of the paper's table I, and the radial-basis output is a linear one under a softmax.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        # The paper centres its 28x28 digits in a 32x32 field, which is this padding.
        self.c1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.c5 = nn.Linear(16 * 5 * 5, 120)  # a 5x5 convolution of 5x5 maps is a full connection
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 1, 28, 28)."""
        x = squash(self.c1(x))  # (B, 6, 28, 28)
        x = avg_pool2d(x, 2)  # S2: (B, 6, 14, 14)
        x = squash(self.c3(x))  # (B, 16, 10, 10)
        x = avg_pool2d(x, 2)  # S4: (B, 16, 5, 5)
        x = x.flatten(1)  # (B, 16, 5, 5) -> (B, 400)
        x = squash(self.c5(x))  # (B, 120)
        x = squash(self.f6(x))  # (B, 84)
        logits: Tensor = self.output(x)  # (B, classes)
        return logits


VARIANTS = (
    Variant(
        name="lenet5",
        family=LeNet5,
        config={"classes": 10},
        input_shape=(1, 28, 28),
        parameters=61_706,
        title="LeNet-5",
        lecture="I2DL X.1, LeNet; LeCun et al. 1998",
        description="The first convolutional network in daily use: two rounds of 5x5 convolution, tanh and "
        "average pooling, then three full connections. Maps shrink as their number grows.",
    ),
)
