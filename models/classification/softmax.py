"""Softmax regression: one linear score a class (I2DL II.3 and VII.1)."""

from torch import Tensor, nn

from models.variant import Variant


class Softmax(nn.Module):
    """Multinomial logistic regression: p(y = k | x) = exp(w_k x + b_k) / sum_j exp(w_j x + b_j).

    The forward pass ends at the scores w_k x + b_k; loss and export apply the softmax.
    """

    def __init__(self, inputs: int = 784, classes: int = 10) -> None:
        super().__init__()
        self.scores = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 1, H, W) with H * W = inputs."""
        x = x.flatten(1)  # (B, 1, H, W) -> (B, H * W)
        logits: Tensor = self.scores(x)  # (B, classes)
        return logits


VARIANTS = (
    Variant(
        name="softmax",
        family=Softmax,
        config={"inputs": 28 * 28, "classes": 10},
        input_shape=(1, 28, 28),
        parameters=7_850,
        title="Softmax regression",
        lecture="I2DL II.3, Logistic Regression; I2DL VII.1, Output and Loss Function",
        description="A linear score for each class from the raw pixels, made a probability by the softmax: "
        "the baseline that every network has to beat.",
    ),
)
