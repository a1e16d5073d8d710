"""The served form of a model: uint8 images in; probabilities, class activation maps and features out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.activation_map import ClassActivationMaps
from models.layers.penultimate import Penultimate
from models.layers.pixels import normalise, unit

IMAGE, PROBABILITIES, CAM, EMBEDDING = "image", "probabilities", "cam", "embedding"


class Served(nn.Module):
    """The computation of a package's graph: uint8 images (B, H, W) or (B, H, W, 3) -> the tensors of ``outputs``.

    These are the float32 ``probabilities`` (B, classes); for a network that ends in average pooling and one linear
    layer, ``cam`` (B, classes, h, w), its class activation maps; and, for a network with a hidden layer and with
    ``embedding``, the input (B, K) of its last linear layer. The logits are divided by ``temperature``.
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
        """The linear layer that takes the ``embedding``, by its name in the network; "" if there is none."""
        if EMBEDDING not in self.outputs:
            return ""
        return self.model.layer if isinstance(self.model, Penultimate) else "fc"

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The softmax of the model's logits, and the other ``outputs``."""
        logits, *more = self.scores(image)
        return torch.softmax(logits / self.temperature if self.temperature != 1 else logits, dim=1), *more

    def scores(self, image: Tensor) -> tuple[Tensor, ...]:
        """The model's logits (B, classes), and the other ``outputs``."""
        # In contiguous memory: torch's export adds nodes for any other order.
        found = self.model(normalise(unit(image).contiguous(), self.mean, self.std))
        return found[: len(self.outputs)] if isinstance(found, tuple) else (found,)


def _with_more(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The model with further outputs beside its logits, and the names of these, the embedding last."""
    if isinstance(getattr(model, "fc", None), nn.Linear) and hasattr(model, "maps"):
        return ClassActivationMaps(model), (CAM, EMBEDDING)
    try:
        return Penultimate(model), (EMBEDDING,)
    except TypeError:  # the model has no hidden layer
        return model, ()
