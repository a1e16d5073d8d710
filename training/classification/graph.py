"""The served form of a model: uint8 images in; probabilities, class activation maps and features out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.activation_map import ClassActivationMaps
from models.layers.penultimate import Penultimate
from models.layers.pixels import normalise, unit

IMAGE, PROBABILITIES, CAM, EMBEDDING = "image", "probabilities", "cam", "embedding"


class Served(nn.Module):
    """What a package's graph computes: uint8 images (B, H, W) or (B, H, W, 3) -> the tensors that ``outputs`` names.

    These are the float32 ``probabilities`` (B, classes); of a network that ends in average pooling and one linear
    layer, ``cam`` (B, classes, h, w), its class activation maps; and of one with a hidden layer, unless without
    ``embedding``, that (B, K): what its last linear layer takes. The logits are divided by ``temperature``.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        temperature: float = 1.0,
        *,
        embedding: bool = True,
    ) -> None:
        super().__init__()
        self.mean, self.std, self.temperature = tuple(mean), tuple(std), temperature
        self.model, more = _with_more(model)
        self.outputs = (PROBABILITIES, *(name for name in more if embedding or name != EMBEDDING))

    @property
    def network(self) -> nn.Module:
        """The model itself."""
        return self.model.network if isinstance(self.model, ClassActivationMaps | Penultimate) else self.model

    @property
    def scoring_layer(self) -> str:
        """The linear layer that takes the ``embedding``, by its name in the network; "" where there is none."""
        if EMBEDDING not in self.outputs:
            return ""
        return self.model.layer if isinstance(self.model, Penultimate) else "fc"

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The softmax of the model's logits, and what else ``outputs`` names."""
        logits, *more = self.scores(image)
        return torch.softmax(logits / self.temperature if self.temperature != 1 else logits, dim=1), *more

    def scores(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, classes) as the model gives them, and what else ``outputs`` names."""
        # Strides as of an image that was never channels-last: torch's export spells out every other order.
        found = self.model(normalise(unit(image).contiguous(), self.mean, self.std))
        return found[: len(self.outputs)] if isinstance(found, tuple) else (found,)


def _with_more(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The model as it answers more than its logits, and what this is, the embedding last."""
    if isinstance(getattr(model, "fc", None), nn.Linear) and hasattr(model, "maps"):
        return ClassActivationMaps(model), (CAM, EMBEDDING)
    try:
        return Penultimate(model), (EMBEDDING,)
    except TypeError:  # it says that there is none
        return model, ()
