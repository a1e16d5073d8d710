"""The structure that AlexNet and VGG share: convolutions, an average pooling, and fully connected layers."""

from torch import Tensor, nn

from models.layers.activation import build_activation, pieces
from models.layers.initialisation import initialise


class FeatureClassifier(nn.Module):
    """Scores the ``width`` maps of ``features``, averaged down to ``grid`` x ``grid``.

    Two fully connected layers of ``hidden`` units come before the scores, with dropout before each if
    ``dropout_first``, else after each; with ``cam``, the maps are averaged to 1 x 1 and a single linear layer scores
    them. Parameters are named as torchvision's are.
    """

    def __init__(
        self,
        features: nn.Sequential,
        width: int,
        grid: int,
        hidden: int,
        classes: int,
        *,
        cam: bool,
        activation: str,
        dropout: float,
        dropout_first: bool,
        initialisation: str,
    ) -> None:
        super().__init__()
        self.features = features
        self.cam = cam
        self.avgpool = nn.AdaptiveAvgPool2d(1 if cam else grid)
        scores = nn.Linear(width if cam else hidden, classes)
        if cam:
            self.dropout, self.fc = nn.Dropout(dropout), scores
        else:
            full = [_full_connection(size, hidden, activation) for size in (width * grid * grid, hidden)]
            drops = [[nn.Dropout(dropout)] for _ in full]
            pairs = zip(drops, full, strict=True) if dropout_first else zip(full, drops, strict=True)
            self.classifier = nn.Sequential(*(layer for pair in pairs for part in pair for layer in part), scores)
        initialise(self, initialisation, scores)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps (B, width, h, w) of normalised images (B, channels, H, W)."""
        maps: Tensor = self.features(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, channels, H, W)."""
        x = self.avgpool(self.maps(x)).flatten(1)  # (B, K, h, w) -> (B, K, grid, grid) -> (B, K * grid * grid)
        logits: Tensor = self.fc(self.dropout(x)) if self.cam else self.classifier(x)  # (B, classes)
        return logits


def _full_connection(inputs: int, hidden: int, activation: str) -> list[nn.Module]:
    return [nn.Linear(inputs, hidden * pieces(activation)), build_activation(activation)]
