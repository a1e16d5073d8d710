"""What models of one pixel after the other have in common (DL 26; van den Oord et al. 2016, arXiv:1601.06759)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.generation.levels import centre, log_likelihood, outputs_for

State = dict[str, Tensor]  # each (B, ...)


class Pixel(NamedTuple):
    """One step: logits (B, K) of the pixel at its position, and the state after it."""

    logits: Tensor
    state: State


class PixelModel(nn.Module, ABC):
    """p(x) = prod_i p(x_i | x_1, ..., x_(i-1)), the pixels of a grey image in raster order.

    `forward` gives all factors of known images at once. Samples are made by `step`, from `start` on: it takes the
    pixel before and keeps of each layer the rows that later pixels still see, so it costs one pixel, not an image.

    Attributes:
        size: height and width of the images.
        levels: 2 (Bernoulli) to 256 values of a pixel.
        classes: how many labels there are; 0 if images have none.
    """

    def __init__(self, size: tuple[int, int], levels: int, classes: int) -> None:
        super().__init__()
        self.size, self.levels, self.classes = (int(size[0]), int(size[1])), levels, classes
        self.outputs = outputs_for(levels)

    @abstractmethod
    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (B, K, H, W) of images (B, 1, H, W) in -1..1 (`centre`) and labels (B,) int64, if there are classes.

        K is 1 for two levels, else one for each level.
        """

    @property
    @abstractmethod
    def lines(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes (of one row) of the tensors of the state; all are 0 before the first pixel."""

    @abstractmethod
    def step(self, pixel: Tensor, position: Tensor, state: State, label: Tensor | None = None) -> Pixel:
        """The pixel at ``position`` (B,) int64, which counts in raster order; ``pixel`` (B,) is the level before it.

        At position 0, ``pixel`` is not read.
        """

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` black images, and labels of 0 if there are classes."""
        label = {"label": torch.zeros(rows, dtype=torch.int64)} if self.classes else {}
        return {"x": torch.full((rows, 1, *self.size), -1.0), **label}

    def start(self, like: Tensor) -> State:
        """The state before the first pixel, for each row of ``like``."""
        return {name: like.new_zeros(like.shape[0], *shape) for name, shape in self.lines.items()}

    def log_likelihood(self, values: Tensor, label: Tensor | None = None) -> Tensor:
        """log p(x) in nats (B,), of levels (B, H, W) int64."""
        return log_likelihood(self(centre(values, self.levels).unsqueeze(1), label), values)


def build_labels(classes: int, width: int) -> nn.Embedding | None:
    """A vector of ``width`` for each class, near 0 at first; None if there are no classes."""
    if not classes:
        return None
    labels = nn.Embedding(classes, width)
    nn.init.normal_(labels.weight, std=0.01)
    return labels


def shift_of(labels: nn.Embedding | None, label: Tensor | None) -> Tensor | float:
    """The vector (B, width) of each label; 0 if there are no classes.

    Raises:
        ValueError: there are classes and no labels.
    """
    if labels is None:
        return 0.0
    if label is None:
        raise ValueError(f"label is missing; the model has {labels.num_embeddings} classes")
    vectors: Tensor = labels(label)
    return vectors


def over_maps(shift: Tensor | float) -> Tensor | float:
    """A vector (B, K) for maps: (B, K, 1, 1)."""
    return shift[:, :, None, None] if isinstance(shift, Tensor) else shift
