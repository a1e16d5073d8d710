"""Softmax regression: one linear score a class (I2DL II.3 and VII.1)."""

from torch import Tensor, nn

from models.layers.initialisation import start_small
from models.variant import Variant


class Softmax(nn.Module):
    """Multinomial logistic regression: p(y = k | x) = exp(w_k x + b_k) / sum_j exp(w_j x + b_j).

    The forward pass ends at the scores w_k x + b_k; loss and export apply the softmax.
    """

    def __init__(self, inputs: int = 784, classes: int = 10) -> None:
        super().__init__()
        self.scores = nn.Linear(inputs, classes)
        start_small(self.scores)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, C, H, W) with C * H * W = inputs."""
        x = x.flatten(1)  # (B, C, H, W) -> (B, C * H * W)
        logits: Tensor = self.scores(x)  # (B, classes)
        return logits


LECTURE = "I2DL II.3, Logistic Regression; I2DL VII.1, Output and Loss Function"
DESCRIPTION = (
    "A linear score for each class from the raw pixels, made a probability by the softmax: "
    "the baseline that every network has to beat."
)

VARIANTS = (
    Variant(
        name="softmax",
        family=Softmax,
        config={"inputs": 28 * 28, "classes": 10},
        input_shape=(1, 28, 28),
        parameters=7_850,
        macs=7_840,
        title="Softmax regression",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="softmax-32",
        family=Softmax,
        config={"inputs": 3 * 32 * 32, "classes": 10},
        input_shape=(3, 32, 32),
        parameters=30_730,
        macs=30_720,
        title="Softmax regression, colour",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
)
