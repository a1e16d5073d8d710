"""Logistic regression: two classes, one linear score (I2DL II.3; CV I)."""

from torch import Tensor, nn, stack, zeros_like

from models.layers.initialisation import start_small
from models.variant import Variant


class Logistic(nn.Module):
    """p(y = 1 | x) = sigma(w x + b).

    The forward pass gives the logits (0, w x + b): their softmax is (1 - sigma, sigma) and their cross-entropy is
    the binary one, so that two classes are trained and served as any other number is.
    """

    def __init__(self, inputs: int = 784) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, 1)
        start_small(self.score)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2) of normalised images (B, C, H, W) with C * H * W = inputs."""
        x = x.flatten(1)  # (B, C, H, W) -> (B, C * H * W)
        score = self.score(x).squeeze(1)  # (B, 1) -> (B,)
        return stack([zeros_like(score), score], dim=1)  # twice (B,) -> (B, 2)


VARIANTS = (
    Variant(
        name="logistic",
        family=Logistic,
        config={"inputs": 28 * 28},
        input_shape=(1, 28, 28),
        parameters=785,
        macs=784,
        title="Logistic regression",
        lecture="I2DL II.3, Logistic Regression; CV I, Linear and Logistic Regression Models",
        description="Two classes told apart by one hyperplane in the space of pixels: a weighted sum of them, made a "
        "probability by the logistic function.",
    ),
)
