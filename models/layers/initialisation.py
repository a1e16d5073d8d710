"""The initialisation of weights (I2DL VII.3)."""

from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

INITIALISATIONS = ("xavier", "he", "torch")
SMALL = 1e-3  # deviation of the last layer's weights


def initialise(network: nn.Module, name: str, *scores: nn.Linear) -> None:
    """Draw every weight of a convolution or linear layer of ``network``, and set its bias to 0.

    ``xavier`` has variance 2 / (fan in + fan out), for tanh and similar functions (Glorot and Bengio 2010); ``he`` has
    2 / fan in, for rectifiers (He et al. 2015, arXiv:1502.01852). The last layers, ``scores``, start near 0, so that
    the first loss is near log(classes) (I2DL VI, sanity checks). ``torch`` keeps torch's own initialisation everywhere.

    Raises:
        KeyError: there is no such initialisation; the message lists the names.
    """
    if name not in INITIALISATIONS:
        raise KeyError(f"no initialisation {name!r}; there are {', '.join(INITIALISATIONS)}")
    if name == "torch":
        return
    draw = nn.init.xavier_normal_ if name == "xavier" else nn.init.kaiming_normal_
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in scores:
        start_small(layer)


def start_small(scores: nn.Linear) -> None:
    """Start the weights of the last layer near 0, so that all classes are about equally probable."""
    nn.init.normal_(scores.weight, std=SMALL)


def start_at_zero(layer: Layer) -> Layer:
    """Set weights and bias to 0 and return the layer, the last of a branch that is to change nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
