"""Kernel density estimation, which needs more images than there can be (CV V; Rosenblatt 1956; Parzen 1962)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.variant import Variant


class KernelDensity(nn.Module):
    """p(x) = 1/N sum_n N(x; x_n, h^2 I): a Gaussian kernel on each of ``rows`` stored images.

    The bandwidth ``h`` is in the unit of the pixels. To fill a space of 784 dimensions takes more images than exist:
    the density is high at the stored images and next to nothing elsewhere, which is what the baseline shows. Images
    and bandwidth are buffers; `remember` fills them.

    Raises:
        ValueError: ``rows`` is below 1, or ``h`` not positive.
    """

    images: Tensor
    h: Tensor

    def __init__(self, rows: int = 10_000, h: float = 0.2, shape: Sequence[int] = (1, 28, 28)) -> None:
        super().__init__()
        if rows < 1 or not 0 < h < math.inf:
            raise ValueError(f"rows is {rows} and h {h}; a density needs at least 1 image and a positive h")
        self.shape = tuple(shape)
        self.register_buffer("images", torch.zeros(rows, math.prod(shape)))
        self.register_buffer("h", torch.tensor(h))

    def remember(self, x: Tensor, h: float | None = None) -> None:
        """Store the images ``x`` (rows, C, H, W), and the bandwidth if it is not that of the row.

        Raises:
            ValueError: there are more or fewer than ``rows`` images, or ``h`` is not positive.
        """
        if len(x) != len(self.images):
            raise ValueError(f"there are {len(x)} images; the model needs {len(self.images)}")
        if h is not None:
            if not 0 < h < math.inf:
                raise ValueError(f"h is {h}; a bandwidth is positive")
            self.h.fill_(h)
        self.images.copy_(x.flatten(1))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats of images (B, C, H, W)."""
        x = x.flatten(1)  # (B, D)
        rows, inputs = self.images.shape
        squares = x.square().sum(1, keepdim=True) - 2 * x @ self.images.T + self.images.square().sum(1)  # (B, rows)
        kernels = -squares.clamp(min=0) / (2 * self.h.square())
        return kernels.logsumexp(1) - math.log(rows) - inputs * (self.h.log() + math.log(2 * math.pi) / 2)

    def sample(self, index: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W) near the stored ones of ``index`` (B,), 0 to rows - 1, by standard normal eps of theirs.

        An index drawn evenly makes it a sample of the density.
        """
        return self.images[index].reshape(-1, *self.shape) + self.h * eps

    def forward(self, x: Tensor) -> Tensor:
        """See `log_prob`."""
        return self.log_prob(x)

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape)}


VARIANTS = (
    Variant(
        name="kernel-density",
        family=KernelDensity,
        config={"rows": 10_000, "h": 0.2, "shape": (1, 28, 28)},
        input_shape=(1, 28, 28),
        parameters=0,
        macs=7_840_000,
        title="Kernel density of 10,000 images",
        lecture="CV V, Kernel density estimation; Parzen 1962",
        description="A Gaussian on every training image. In so many dimensions the space between them stays empty: "
        "its samples are training images with noise.",
    ),
)
