"""The served form of a segmentation network."""

import pytest
import torch
from torch import Tensor

from models.segmentation.graph import SegmentationGraph
from models.segmentation.segmenter import Segmenter


class Linear(Segmenter):
    """Scores each pixel by itself: ``weights`` (K, C) times its channels."""

    def __init__(self, weights: Tensor, divisor: int) -> None:
        super().__init__()
        self.weights, self.divisor = weights, divisor

    def scores(self, x: Tensor) -> Tensor:
        assert not x.shape[2] % self.divisor
        assert not x.shape[3] % self.divisor
        return torch.einsum("kc,bchw->bkhw", self.weights, x)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("divisor", [1, 4])
def test_each_pixel_gets_its_most_probable_class_and_each_class_its_sums(channels: int, divisor: int) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(5, channels, generator=draw)
    shape = (2, 7, 10) if channels == 1 else (2, 7, 10, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    mean, std = (0.4,) * channels, (0.2,) * channels

    found = SegmentationGraph(Linear(weights, divisor), mean, std)(images)
    mask, probability, area, confidence = found

    pixels = (images.reshape(2, 7, 10, channels).to(torch.float32) / 255 - 0.4) / 0.2
    softmax = torch.softmax(pixels @ weights.T, 3)
    assert mask.dtype == torch.uint8
    assert torch.equal(mask.to(torch.int64), softmax.argmax(3))
    torch.testing.assert_close(probability, softmax.amax(3))
    for row in range(2):
        for label in range(5):
            chosen = mask[row] == label
            assert area[row, label] == chosen.sum()
            mean_probability = probability[row][chosen].mean() if chosen.any() else torch.tensor(0.0)
            torch.testing.assert_close(confidence[row, label], mean_probability)
