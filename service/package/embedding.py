"""The description of the tensor that is a classifier's feature vector of an image."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from service.package.graph import Frozen, TensorName, TensorSpec, Words, find

# Four times as many as the widest network that torchvision publishes has.
MAX_FEATURES = 16_384


class Embedding(Frozen):
    """``tensor`` has feature vectors (batch, dimension): the features from which the network scores the classes.

    They are the input of its last linear layer: after the last activation, or after global average pooling.
    """

    tensor: TensorName
    dimension: Annotated[int, Field(ge=1, le=MAX_FEATURES)]
    layer: Words = Field(description="The name, in the network, of the last linear layer, whose input it is.")

    def check(self, outputs: Iterable[TensorSpec]) -> None:
        """Check that the classifier's ``outputs`` have this tensor.

        Raises:
            ValueError: they have not.
        """
        found = find(outputs, self.tensor, "embedding.tensor")
        if found.datatype != "FP32" or found.shape[1:] != (self.dimension,):
            raise ValueError(
                f"embedding.tensor {self.tensor!r} is {found.datatype} {list(found.shape)}; "
                f"with embedding.dimension {self.dimension} it must be FP32 [-1, {self.dimension}]"
            )
