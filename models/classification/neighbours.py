"""k nearest neighbours: a baseline without training (I2DL II; Fix and Hodges 1951)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from models.variant import Variant

# The share of a vote that breaks a tie: far below one vote, and above the rounding of a few of them.
TIE = 1e-3
UNSEEN = 1e-3


class NearestNeighbours(nn.Module):
    """Classifies by the labels of the ``neighbours`` nearest of ``rows`` stored images.

    ``distance`` is ``l2`` or ``l1``, which needs B * rows * inputs floats at a time. The images and labels are
    buffers, part of the state and of an export; `remember` fills them, and there is nothing to train.

    Raises:
        KeyError: there is no such distance.
        ValueError: there are more neighbours than rows.
    """

    images: Tensor
    votes: Tensor

    def __init__(
        self, inputs: int = 784, rows: int = 1000, neighbours: int = 5, distance: str = "l2", classes: int = 10
    ) -> None:
        super().__init__()
        if distance not in ("l1", "l2"):
            raise KeyError(f"no distance {distance!r}; there are l1, l2")
        if not 1 <= neighbours <= rows:
            raise ValueError(f"neighbours is {neighbours}; {rows} rows allow 1 to {rows}")
        self.neighbours, self.distance, self.classes = neighbours, distance, classes
        self.register_buffer("images", torch.zeros(rows, inputs))
        self.register_buffer("votes", torch.zeros(rows, classes))  # one-hot labels

    def remember(self, x: Tensor, labels: Tensor) -> None:
        """Store the normalised images ``x`` (rows, C, H, W) and their ``labels`` (rows,).

        Raises:
            ValueError: the number of images or of labels is not ``rows``.
        """
        if not len(x) == len(labels) == len(self.images):
            raise ValueError(f"there are {len(x)} images and {len(labels)} labels; the model needs {len(self.images)}")
        self.images.copy_(x.flatten(1))  # (rows, C, H, W) -> (rows, C * H * W)
        self.votes.copy_(one_hot(labels, self.classes))  # (rows,) -> (rows, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes): the logarithm of each class's share of the neighbours, so softmax gives the shares.

        ``x`` are normalised images (B, C, H, W) with C * H * W = inputs. The nearest neighbour breaks a tie.
        """
        nearest = self.distances(x.flatten(1)).topk(self.neighbours, largest=False).indices  # (B, neighbours)
        votes = self.votes[nearest]  # (B, neighbours, classes)
        counts = votes.sum(1) + TIE * votes[:, 0]  # (B, classes)
        return (counts + UNSEEN).log()

    def distances(self, x: Tensor) -> Tensor:
        """The distance of each row of ``x`` (B, inputs) to each image, (B, rows); for l2, squared and less |x|^2."""
        if self.distance == "l1":
            return (x[:, None] - self.images).abs().sum(2)  # (B, 1, inputs) - (rows, inputs) -> (B, rows)
        return self.images.square().sum(1) - 2 * x @ self.images.T  # |a - x|^2 - |x|^2: (B, rows)


VARIANTS = (
    Variant(
        name="neighbours",
        family=NearestNeighbours,
        config={"inputs": 28 * 28, "rows": 1000, "neighbours": 5, "distance": "l2", "classes": 10},
        input_shape=(1, 28, 28),
        parameters=0,
        macs=784_000,
        title="Five nearest neighbours of 1,000",
        lecture="I2DL II, Machine Learning Basics",
        description="No training at all: an image gets the label that most of its five nearest neighbours among "
        "1,000 training images have, by the Euclidean distance of their pixels.",
    ),
)
