"""Every way back, beside the gradient of the way up where the two are the same."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import pad

from models.layers.activation import ACTIVATIONS, Maxout
from models.layers.descent import FUNCTIONS, LAYERS, Climb
from models.layers.dropout import build_spatial_dropout
from models.layers.normalisation import NORMALISATIONS, build_normalisation

COUNT = 3  # signals for every image


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def climb(layer: nn.Module, x: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    return LAYERS[type(layer)](layer, x)


def assert_the_gradient(up: Climb, layer: Callable[..., Tensor], *inputs: Tensor) -> None:
    """``up`` gives what ``layer`` does, and the way back is its gradient: of every signal of every image."""
    free = [x.clone().requires_grad_() for x in inputs]
    y = layer(*free)
    found, descend = up(*inputs)
    torch.testing.assert_close(found, y.detach())
    signal = draw(len(y), COUNT, *y.shape[1:], seed=1)
    for number in range(COUNT):
        wanted = torch.autograd.grad(y, free, signal[:, number], retain_graph=True)
        for back, gradient in zip(descend(signal), wanted, strict=True):
            torch.testing.assert_close(back[:, number], gradient)


@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
)
def test_filters_are_transposed_whatever_their_steps(
    kernel: int, stride: int, padding: int, dilation: int, groups: int, height: int, width: int
) -> None:
    assume(min(height, width) + 2 * padding >= dilation * (kernel - 1) + 1)
    layer = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, dtype=torch.float64)
    nn.init.zeros_(layer.bias if layer.bias is not None else layer.weight)
    assert_the_gradient(lambda x: climb(layer, x), layer, draw(2, 4, height, width))


def test_a_bias_is_not_carried_back() -> None:
    layer = nn.Conv2d(2, 3, 3, dtype=torch.float64)
    _, descend = climb(layer, draw(1, 2, 5, 5))
    assert not descend(torch.zeros(1, COUNT, 3, 3, 3, dtype=torch.float64))[0].any()


@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    ceil_mode=st.booleans(),
)
def test_poolings_are_undone_whatever_their_steps(
    kernel: int, stride: int, padding: int, height: int, width: int, ceil_mode: bool
) -> None:
    assume(2 * padding <= kernel <= min(height, width) + 2 * padding)
    x = draw(2, 3, height, width)
    largest = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
    assert_the_gradient(lambda x: climb(largest, x), largest, x)
    mean = nn.AvgPool2d(kernel, stride, padding)
    assert_the_gradient(lambda x: climb(mean, x), mean, x)


def test_the_first_of_equals_is_the_switch() -> None:
    _, descend = climb(nn.MaxPool2d(2), torch.zeros(1, 1, 2, 4, dtype=torch.float64))
    (back,) = descend(torch.tensor([[[[[5.0, 7.0]]]]], dtype=torch.float64))
    assert back.tolist() == [[[[[5, 0, 7, 0], [0, 0, 0, 0]]]]]


def test_a_pixel_that_won_several_windows_gets_their_sum() -> None:
    x = torch.tensor([[[[0.0, 0.0, 9.0, 0.0, 0.0]] * 3]], dtype=torch.float64)
    _, descend = climb(nn.MaxPool2d(3, stride=2), x)
    (back,) = descend(torch.tensor([[[[[5.0, 7.0]]]]], dtype=torch.float64))
    assert back[0, 0, 0, 0].tolist() == [0, 0, 12, 0, 0]


def test_batch_normalisation_keeps_its_gain_and_drops_its_shift() -> None:
    layer = nn.BatchNorm2d(3).double()
    layer(5 * draw(8, 3, 4, 4) + 2)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    layer.eval()
    assert_the_gradient(lambda x: climb(layer, x), layer, draw(2, 3, 4, 4, seed=2))


@pytest.mark.parametrize("name", ["layer", "instance", "group"])
def test_other_normalisations_keep_the_gain_that_each_image_gave_them(name: str) -> None:
    built = build_normalisation(name, 32)
    assert isinstance(built, nn.GroupNorm)
    layer = built.double()
    nn.init.normal_(layer.weight)

    def fixed(x: Tensor) -> Tensor:
        grouped = x.reshape(len(x), layer.num_groups, -1)
        variance, mean = torch.var_mean(grouped.detach(), 2, correction=0, keepdim=True)
        normal = (grouped - mean) / (variance + layer.eps).sqrt()
        return normal.reshape(x.shape) * layer.weight[:, None, None] + layer.bias[:, None, None]

    assert_the_gradient(lambda x: climb(layer, x), fixed, 3 * draw(2, 32, 3, 3) + 1)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "maxout"])
def test_a_signal_is_rectified_where_the_activation_cannot_be_negative(name: str) -> None:
    layer, x = ACTIVATIONS[name]().double(), 3 * draw(2, 4, 5, 5)
    found, descend = climb(layer, x)
    assert torch.equal(found, layer(x))
    signal = draw(2, COUNT, 4, 5, 5, seed=1)
    (back,) = descend(signal)
    assert torch.equal(back, signal.clamp(min=0) if (layer(100 * x) >= 0).all() else signal)


def test_maxout_sends_all_to_the_larger_of_its_two_maps() -> None:
    layer = Maxout()
    assert_the_gradient(lambda x: climb(layer, x), layer, draw(2, 6, 4, 4))


@pytest.mark.parametrize(
    ("function", "made", "arguments"),
    [
        (operator.add, lambda x, y: x + y, ()),
        (torch.cat, lambda x, y: torch.cat([x, y], 1), ()),
        (pad, lambda x: pad(x, (0, 0, 1, 2, 0, 3)), ((0, 0, 1, 2, 0, 3),)),
    ],
    ids=["addition", "concatenation", "padding"],
)
def test_what_branches_do_is_undone(function: Any, made: Callable[..., Tensor], arguments: tuple[Any, ...]) -> None:
    x, y = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=2)
    if function is pad:
        assert_the_gradient(lambda x: FUNCTIONS[pad](x, *arguments), made, x)
    elif function is torch.cat:
        assert_the_gradient(lambda x, y: FUNCTIONS[torch.cat]([x, y], 1), made, x, y)
    else:
        assert_the_gradient(FUNCTIONS[operator.add], made, x, y)


def test_there_is_a_way_back_through_every_layer_that_a_recipe_may_switch() -> None:
    assert {*ACTIVATIONS.values()} <= LAYERS.keys()
    assert {type(build_normalisation(name, 8)) for name in NORMALISATIONS} <= LAYERS.keys()
    assert {type(build_spatial_dropout(probability)) for probability in (0.0, 0.5)} <= LAYERS.keys()
