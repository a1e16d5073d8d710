"""Which tensor of a classifier is the feature vector of an image."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from service.package.graph import Frozen, TensorName, TensorSpec, Words, find

# Four times that of the widest network that torchvision publishes.
MAX_FEATURES = 16_384


class Embedding(Frozen):
    """``tensor`` holds feature vectors (batch, dimension): what the network knows of an image before it scores classes.

    That is what its last linear layer takes: after the last activation, or after global average pooling.
    """

    tensor: TensorName
    dimension: Annotated[int, Field(ge=1, le=MAX_FEATURES)]
    layer: Words = Field(description="The last linear layer, whose input it is, by its name in the network.")

    def check(self, outputs: Iterable[TensorSpec]) -> None:
        """See that the classifier answers it so.

        Raises:
            ValueError: it does not.
        """
        found = find(outputs, self.tensor, "embedding.tensor")
        if found.datatype != "FP32" or found.shape[1:] != (self.dimension,):
            raise ValueError(
                f"embedding.tensor {self.tensor!r} is {found.datatype} {list(found.shape)}; "
                f"embedding.dimension {self.dimension} wants FP32 [-1, {self.dimension}]"
            )
