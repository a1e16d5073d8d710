"""Class activation maps (CV V; Zhou et al. 2016, arXiv:1512.04150)."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv2d


class ClassActivationMaps(nn.Module):
    """Where a network saw each class: M_c(x, y) = sum_k w_ck f_k(x, y), and the logits, the maps' means plus bias.

    The third output is the features that ``fc`` scores, the means of the maps f: the network's penultimate layer.

    The network must end in global average pooling and one linear layer ``fc``, and return its last maps f from
    ``maps(x)``: every ResNet, GoogLeNet and Xception does, and any other family built with ``cam=True``. The module
    shares the network's parameters and can be exported in its place; dropout before ``fc`` is left out.

    Raises:
        TypeError: the network does not end that way.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(getattr(network, "fc", None), nn.Linear):
            raise TypeError(f"{type(network).__name__} does not end in average pooling and a layer fc (cam=True)")
        self.network: Any = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, classes), maps (B, classes, h, w) and features (B, K) of normalised images (B, C, H, W)."""
        weights = self.network.fc.weight[:, :, None, None]  # (classes, K) -> (classes, K, 1, 1)
        last = self.network.maps(x)  # (B, K, h, w)
        maps = conv2d(last, weights)  # (B, classes, h, w)
        return maps.mean((2, 3)) + self.network.fc.bias, maps, last.mean((2, 3))
