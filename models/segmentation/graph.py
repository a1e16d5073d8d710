"""The served form of a segmentation network: uint8 images in; masks and what they add up to out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.pixels import normalise, unit
from models.segmentation.segmenter import Segmenter, crop, pad_to_multiple

IMAGE, MASK, PROBABILITY, AREA, CONFIDENCE = "image", "mask", "probability", "area", "confidence"
PADDED, LOGITS = "padded", "logits"  # between the parts


class Before(nn.Module):
    """Pixels to what the network takes: normalised with ``mean`` and ``std``, and padded so that ``divisor`` divides.

    Both are values for each channel, of the training pixels in 0..1.
    """

    inputs, outputs = (IMAGE,), (PADDED,)

    def __init__(self, mean: Sequence[float], std: Sequence[float], divisor: int) -> None:
        super().__init__()
        self.mean, self.std, self.divisor = tuple(mean), tuple(std), divisor

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, C, h, w), h and w multiples of the divisor."""
        return pad_to_multiple(normalise(unit(image).contiguous(), self.mean, self.std), self.divisor)


class Scores(nn.Module):
    """The network on padded images."""

    inputs, outputs = (PADDED,), (LOGITS,)

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, padded: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, K, h, w)."""
        return self.network.scores(padded)


class After(nn.Module):
    """Logits to masks, and what these add up to."""

    inputs, outputs = (IMAGE, LOGITS), (MASK, PROBABILITY, AREA, CONFIDENCE)

    def forward(self, image: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `SegmentationGraph`; of the image (B, H, W[, 3]) only the size is read."""
        size = image[:, None, :, :] if image.ndim == 3 else image.permute(0, 3, 1, 2)  # (B, C, H, W)
        logits = crop(logits, size)  # (B, K, h, w) -> (B, K, H, W)
        best, top = logits.argmax(1), logits.amax(1, keepdim=True)  # (B, H, W) and (B, 1, H, W)
        # The largest softmax alone: dividing all K by their sum would take as long as a layer.
        probability = 1 / (logits - top).exp().sum(1)  # (B, H, W)
        each = torch.arange(logits.shape[1])[:, None, None]  # (K, 1, 1)
        chosen = (best[:, None] == each).to(torch.float32)  # (B, K, H, W), 1 for the class of the pixel
        area = chosen.sum((2, 3))  # (B, K)
        confidence = (chosen * probability[:, None]).sum((2, 3)) / area.clamp(min=1)  # (B, K)
        return best.to(torch.uint8), probability, area.to(torch.int64), confidence


class SegmentationGraph(nn.Module):
    """The computation of a package's graph, for images of any height and width.

    ``parts`` are its three steps; they are traced one by one, since torch's export cannot follow how a height that is
    padded to a multiple is halved and doubled again.
    """

    inputs = (IMAGE,)
    outputs = After.outputs

    def __init__(self, network: Segmenter, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.before, self.scores, self.after = Before(mean, std, network.divisor), Scores(network), After()

    @property
    def parts(self) -> tuple[Before, Scores, After]:
        """Before, the network, and after."""
        return self.before, self.scores, self.after

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the tensors of ``outputs`` from uint8 images (B, H, W) or (B, H, W, 3).

        Returns:
            The most probable class of each pixel, uint8 (B, H, W); its softmax probability, float32 (B, H, W); the
            number of pixels of each class, int64 (B, K); and their mean probability, float32 (B, K), 0 if there are
            none.
        """
        found: tuple[Tensor, Tensor, Tensor, Tensor] = self.after(image, self.scores(self.before(image)))
        return found
