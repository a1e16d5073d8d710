from typing import Any

import torch
from torch import nn

from models.classification.rows import build
from models.receptive_field import Field, receptive_fields
from models.variant import Variant
from tests.models.rows import CONVOLUTIONAL, each, thin


def test_two_3x3_convolutions_see_5x5_and_pooling_doubles_the_step() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3))
    assert receptive_fields(network) == {"0": Field(3, 1), "2": Field(5, 1), "3": Field(6, 2), "4": Field(10, 2)}


def test_what_follows_the_average_of_all_maps_has_no_field() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(4), nn.Conv2d(1, 1, 1), nn.Flatten())
    assert receptive_fields(network) == {"0": Field(3, 1)}


@each(CONVOLUTIONAL)
def test_the_last_maps_see_what_the_table_says(variant: Variant) -> None:
    with torch.device("meta"):
        fields = receptive_fields(build(variant.name).eval())
    assert max(field.side for field in fields.values()) == variant.receptive_field


@each(CONVOLUTIONAL)
def test_the_gradient_of_a_unit_reaches_exactly_its_receptive_field(variant: Variant) -> None:
    model = build(variant.name, thin(variant)).double().eval()
    conducting(model)
    assert variant.receptive_field is not None
    height = 2 * variant.receptive_field + 128
    x = torch.ones(1, variant.input_shape[0], height, 96, dtype=torch.float64, requires_grad=True)
    maps: Any = model.maps
    answer = maps(x)  # (1, K, h, w)
    torch.autograd.backward(answer[0, :, answer.shape[2] // 2].sum())
    assert x.grad is not None
    reached = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()  # (height,) -> the rows it reached
    assert int(reached[-1] - reached[0]) + 1 == variant.receptive_field
    assert reached[0] > 0
    assert reached[-1] < height - 1


def conducting(model: nn.Module) -> None:
    """Let every connection carry some gradient: positive weights, and averages for maxima."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                average = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, average)
            if isinstance(child, nn.Conv2d):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
