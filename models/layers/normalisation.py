"""Normalisations by name (I2DL VIII.3 and IX.5).

They differ in the values that share a mean and a deviation: a channel of the whole batch (``batch``, Ioffe and Szegedy
2015, arXiv:1502.03167), all channels of a row (``layer``, arXiv:1607.06450), a channel of a row (``instance``,
arXiv:1607.08022), or some channels of a row (``group``, Wu and He 2018, arXiv:1803.08494).
"""

import math

from torch import nn

NORMALISATIONS = ("batch", "layer", "instance", "group", "none")
GROUP_CHANNELS = 16  # from Wu and He's table 3; fewer if they don't divide the channels


def build_normalisation(name: str, channels: int, eps: float = 1e-5) -> nn.Module:
    """The normalisation called ``name`` of maps (B, channels, H, W), with a gain and a shift per channel.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    match name:
        case "batch":
            return nn.BatchNorm2d(channels, eps)
        case "layer":
            return nn.GroupNorm(1, channels, eps)
        case "instance":
            return nn.GroupNorm(channels, channels, eps)
        case "group":
            return nn.GroupNorm(channels // math.gcd(channels, GROUP_CHANNELS), channels, eps)
        case "none":
            return nn.Identity()
    raise KeyError(f"no normalisation {name!r}; there are {', '.join(NORMALISATIONS)}")
