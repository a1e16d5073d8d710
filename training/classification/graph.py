"""The served form of a model: uint8 images in, probabilities and class activation maps out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.activation_map import ClassActivationMaps
from models.layers.pixels import normalise, unit

IMAGE, PROBABILITIES, CAM = "image", "probabilities", "cam"


class Served(nn.Module):
    """What a package's graph computes: uint8 images (B, H, W) or (B, H, W, 3) -> the tensors that ``outputs`` names.

    These are the float32 ``probabilities`` (B, classes) and, of a network that ends in average pooling and one linear
    layer, ``cam`` (B, classes, h, w), its class activation maps. The logits are divided by ``temperature``.
    """

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float], temperature: float = 1.0) -> None:
        super().__init__()
        self.mean, self.std, self.temperature = tuple(mean), tuple(std), temperature
        pooled = isinstance(getattr(model, "fc", None), nn.Linear) and hasattr(model, "maps")
        self.outputs = (PROBABILITIES, CAM) if pooled else (PROBABILITIES,)
        self.model = ClassActivationMaps(model) if pooled else model

    @property
    def network(self) -> nn.Module:
        """The model itself."""
        return self.model.network if isinstance(self.model, ClassActivationMaps) else self.model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The softmax of the model's logits, and its class activation maps where it has some."""
        logits, *maps = self.scores(image)
        return torch.softmax(logits / self.temperature if self.temperature != 1 else logits, dim=1), *maps

    def scores(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, classes) as the model gives them, and its class activation maps where it has some."""
        # Strides as of an image that was never channels-last: torch's export spells out every other order.
        found = self.model(normalise(unit(image).contiguous(), self.mean, self.std))
        return found if isinstance(found, tuple) else (found,)
