"""The multi-layer perceptron (I2DL III and VII; Rumelhart, Hinton and Williams 1986)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.variant import Variant


class MLP(nn.Module):
    """Linear layers with rectifiers between: h_0 = x, h_l = max(0, W_l h_{l-1} + b_l), logits = W h_L + b.

    ``hidden`` gives the width of each hidden layer, so its length is the depth; empty, this is softmax
    regression.
    The weights start as He et al. 2015 (arXiv:1502.01852) have it: N(0, 2 / fan_in), biases 0.
    """

    def __init__(self, inputs: int = 784, hidden: Sequence[int] = (256, 128), classes: int = 10) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        self.layers = nn.ModuleList(rectified_layer(a, b) for a, b in pairwise(widths))
        self.scores = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 1, H, W) with H * W = inputs."""
        h = x.flatten(1)  # (B, 1, H, W) -> (B, H * W)
        for layer in self.layers:
            h = layer(h).relu()  # (B, width of the layer)
        logits: Tensor = self.scores(h)  # (B, classes)
        return logits


def rectified_layer(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose start keeps the variance of the activations through a rectifier."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


VARIANTS = (
    Variant(
        name="mlp",
        family=MLP,
        config={"inputs": 28 * 28, "hidden": (256, 128), "classes": 10},
        input_shape=(1, 28, 28),
        parameters=235_146,
        title="Multi-layer perceptron, 784-256-128-10",
        lecture="I2DL III, Neural Networks; I2DL VII, Training Neural Networks II",
        description="Two hidden layers of rectified linear units over the raw pixels: it learns its own "
        "features, but knows nothing of the image's plane.",
    ),
)
