"""The multi-layer perceptron (I2DL III and VII; Rumelhart, Hinton and Williams 1986)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers.activation import build_activation, pieces
from models.layers.initialisation import initialise
from models.variant import Variant


class MLP(nn.Module):
    """Linear layers with activations between: h_0 = x, h_l = f(W_l h_{l-1} + b_l), logits = W h_L + b.

    ``hidden`` gives the width of each hidden layer, so its length is the depth; empty, this is softmax
    regression. ``dropout`` follows each activation.
    """

    def __init__(
        self,
        inputs: int = 784,
        hidden: Sequence[int] = (256, 128),
        classes: int = 10,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b * pieces(activation)) for a, b in pairwise(widths))
        self.activations = nn.ModuleList(build_activation(activation) for _ in hidden)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(widths[-1], classes)
        initialise(self, initialisation, self.scores)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, C, H, W) with C * H * W = inputs."""
        h = x.flatten(1)  # (B, C, H, W) -> (B, C * H * W)
        for layer, activation in zip(self.layers, self.activations, strict=True):
            h = self.dropout(activation(layer(h)))  # (B, width of the layer)
        logits: Tensor = self.scores(h)  # (B, classes)
        return logits


LECTURE = "I2DL III, Neural Networks; I2DL VII, Training Neural Networks II"
DESCRIPTION = (
    "Two hidden layers of rectified linear units over the raw pixels: it learns its own "
    "features, but knows nothing of the image's plane."
)

VARIANTS = (
    Variant(
        name="mlp",
        family=MLP,
        config={"inputs": 28 * 28, "hidden": (256, 128), "classes": 10},
        input_shape=(1, 28, 28),
        parameters=235_146,
        macs=234_752,
        title="Multi-layer perceptron, 784-256-128-10",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
    Variant(
        name="mlp-32",
        family=MLP,
        config={"inputs": 3 * 32 * 32, "hidden": (256, 128), "classes": 10},
        input_shape=(3, 32, 32),
        parameters=820_874,
        macs=820_480,
        title="Multi-layer perceptron, 3072-256-128-10",
        lecture=LECTURE,
        description=DESCRIPTION,
    ),
)
