"""The encoder of the encoder-decoder networks: VGG's stages of convolutions."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from models.layers.dropout import build_spatial_dropout
from models.layers.normalisation import build_normalisation
from models.layers.sequence import sequence


def convolutions(inputs: int, widths: Sequence[int], normalisation: str) -> list[nn.Module]:
    """3x3 convolutions that keep the size, of ``widths`` maps, each followed by a normalisation and a ReLU.

    Raises:
        ValueError: there is no width, or one is not a whole number of 1 or more.
    """
    if not isinstance(widths, Sequence) or not widths or any(type(width) is not int or width < 1 for width in widths):
        raise ValueError(f"the widths of a stage are {widths!r}; a list of one or more whole numbers from 1 is allowed")
    layers: list[nn.Module] = []
    for width in widths:
        layers += [
            nn.Conv2d(inputs, width, kernel_size=3, padding=1),
            build_normalisation(normalisation, width),
            nn.ReLU(),
        ]
        inputs = width
    return layers


class Encoded(NamedTuple):
    """What each stage gives, the largest maps first.

    ``maps`` (B, K, H, W) are a stage's maps before its pooling, ``halved`` (B, K, H / 2, W / 2) those after it, and
    ``places`` (B, K, H / 2, W / 2) the index of each maximum in H W.
    """

    maps: list[Tensor]
    halved: list[Tensor]
    places: list[Tensor]


class Encoder(nn.Module):
    """VGG's ``features``: stages of 3x3 convolutions of ``widths`` maps, each followed by a 2x2 max pooling.

    Layers are named and numbered as in `models.classification.vgg.VGG`, so that a trained classifier's weights fit.

    Raises:
        ValueError: there is no stage, or one has no width, or a width is not a whole number of 1 or more.
    """

    def __init__(
        self, widths: Sequence[Sequence[int]], channels: int, normalisation: str, spatial_dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not isinstance(widths, Sequence) or not widths:
            raise ValueError(f"widths is {widths!r}; a list with the widths of one or more stages is allowed")
        layers: list[nn.Module] = []
        inputs = channels
        for stage in widths:
            layers += convolutions(inputs, stage, normalisation)
            layers += [nn.MaxPool2d(2), build_spatial_dropout(spatial_dropout)]
            inputs = stage[-1]
        self.features = sequence(layers)
        self.widths = tuple(stage[-1] for stage in widths)

    def forward(self, x: Tensor) -> Encoded:
        """What each stage gives of normalised images (B, C, H, W); the number of stages halves H and W without rest."""
        found = Encoded([], [], [])
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.maps.append(x)  # (B, widths[stage], H, W)
                x, places = max_pool2d(x, 2, return_indices=True)  # (B, widths[stage], H / 2, W / 2)
                found.halved.append(x)
                found.places.append(places)
            elif isinstance(layer, nn.Dropout2d):
                x = found.halved[-1] = layer(x)
            else:
                x = layer(x)
        return found
