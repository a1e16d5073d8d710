"""Class activation maps find what they name, although nobody told them where it was (Zhou et al. 2016)."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.classification.rows import build
from models.layers.activation_map import ClassActivationMaps
from tests.training.tiny import digits

SIDE = 28  # of a digit; a canvas has four corners of this size
LEARNED, PAIRS = 200, 100  # digits learned from; pairs of others


def on_canvas(digit: Tensor, corner: int) -> Tensor:
    """The digit in one of the corners 0 to 3 of (1, 56, 56)."""
    canvas, (down, across) = torch.zeros(1, 2 * SIDE, 2 * SIDE), divmod(corner, 2)
    canvas[0, SIDE * down : SIDE * (down + 1), SIDE * across : SIDE * (across + 1)] = digit
    return canvas


def learn(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """To tell digits apart, wherever they are; of their places it is told nothing."""
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    for _ in range(24):
        for batch in torch.randperm(len(images)).reshape(-1, 20):
            corners = torch.randint(0, 4, (len(batch),)).tolist()
            x = torch.stack([on_canvas(image, corner) for image, corner in zip(images[batch], corners, strict=True)])
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(network(x), labels[batch]))
            optimizer.step()


def found(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How often the map of a digit is largest over it, and not over another digit or an empty corner."""
    maps_of, hits = ClassActivationMaps(network.eval()), []
    for first, second in pairs(labels.tolist()):
        corner, other = torch.randperm(4)[:2].tolist()
        canvas = on_canvas(images[first], corner) + on_canvas(images[second], other)
        with torch.no_grad():
            maps = maps_of(canvas[None])[1][0, labels[first]]  # (7, 7)
        down, across = divmod(int(maps.argmax()), maps.shape[1])
        hits.append(2 * (2 * down > maps.shape[0]) + (2 * across > maps.shape[1]) == corner)
    return float(sum(hits) / len(hits))


def pairs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Two digits of different classes."""
    drawn = torch.randint(0, len(labels), (PAIRS, 2)).tolist()
    return [(first, second) for first, second in drawn if labels[first] != labels[second]]


@pytest.mark.slow
def test_the_map_of_a_digit_is_largest_over_it_and_not_over_another() -> None:
    images, labels = (torch.from_numpy(array) for array in digits())
    images = images.float() / 255
    torch.manual_seed(0)
    network = build("vgg7-28", {"widths": [[8], [16], [32]], "dropout": 0.0})
    learn(network, images[:LEARNED], labels[:LEARNED])
    share = found(network, images[LEARNED:], labels[LEARNED:])
    # 0.81 to 0.88 from four seeds; by chance 0.5 for a map that sees digits and no classes, 0.25 for one that is blind.
    assert share > 0.7
