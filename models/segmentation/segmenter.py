"""What all segmentation networks do alike: images of any size."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.functional import pad


class Segmenter(nn.Module, ABC):
    """Gives a logit for each class of each pixel of an image of any height and width.

    ``divisor`` divides the height and width that `scores` takes.
    """

    divisor: int

    @abstractmethod
    def scores(self, x: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of normalised images (B, C, H, W); ``divisor`` divides H and W."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of normalised images (B, C, H, W) of any size."""
        return crop(self.scores(pad_to_multiple(x, self.divisor)), x)


def pad_to_multiple(x: Tensor, divisor: int) -> Tensor:
    """``x`` (B, C, H, W) with zeros, the mean pixel, at its right and lower sides; ``divisor`` then divides both."""
    height, width = x.shape[2:]
    return pad(x, (0, -width % divisor, 0, -height % divisor))


def crop(x: Tensor, like: Tensor) -> Tensor:
    """The upper left of ``x`` (B, K, h, w), of the height and width of ``like`` (B, C, H, W): (B, K, H, W)."""
    return x[:, :, : like.shape[2], : like.shape[3]]
