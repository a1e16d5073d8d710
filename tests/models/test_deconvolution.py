"""What drives a map, beside the definition: the gradient of its largest activation, but that rectifiers rectify it."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.classification.rows import build, find
from models.deconvolution import Deconvolution, strongest
from models.layers.activation import ACTIVATIONS, ScaledTanh
from models.layers.normalisation import NORMALISATIONS
from models.receptive_field import receptive_fields
from models.variant import Variant
from tests.models.rows import CONVOLUTIONAL, EVERY, GREY, LARGE, SMALL, each, images, seasoned, thin

FAMILIES = [variant for variant in GREY if variant in CONVOLUTIONAL]
INCEPTIONS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
# The module whose output a layer's maps are.
LAYERS = {
    "lenet5": {"c1": "a1", "c3": "a3"},
    "alexnet-28": {f"conv{n}": f"features.{place}" for n, place in enumerate((1, 4, 7, 9, 11), 1)},
    "vgg7-28": {f"conv{n}": f"features.{place}" for n, place in enumerate((2, 5, 9, 12, 16, 19), 1)},
    "resnet20-28": {"conv1": "activation", **{f"layer{n}": f"layer{n}" for n in (1, 2, 3)}},
    "googlenet-28": {name: name for name in ("conv1", "conv2", "conv3", *(f"inception{n}" for n in INCEPTIONS))},
    "xception-28": {"conv1": "stem.2", "conv2": "stem.5", "entry": "entry", "middle": "middle", "exit": "exit"},
}


class Reversed(torch.autograd.Function):
    """An activation whose gradient is rectified, or left alone, instead of multiplied by its slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Callable[[Tensor], Tensor], rectified: bool) -> Tensor:
        ctx.rectified = rectified
        return activation(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return gradient.clamp(min=0) if ctx.rectified else gradient, None, None


def _reversed(x: Tensor, up: Callable[[Tensor], Tensor], rectified: bool) -> Tensor:
    answer: Tensor = Reversed.apply(x, up, rectified)  # type: ignore[no-untyped-call]
    return answer


def deconvolved(network: nn.Module, path: str, x: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Zeiler and Fergus's definition for the module ``path``, by autograd."""
    network, seen = deepcopy(network), []
    for module in network.modules():
        if isinstance(module, nn.ReLU | ScaledTanh):
            reverse = partial(_reversed, up=module.forward, rectified=isinstance(module, nn.ReLU))
            module.forward = reverse  # type: ignore[method-assign]
    network.get_submodule(path).register_forward_hook(lambda module, inputs, output: seen.append(output))
    free = x.clone().requires_grad_()
    network(free)
    maps = seen[0].flatten(2)  # (B, C, h w)
    strengths, which = maps.amax(2).topk(count)
    rows = [
        [torch.autograd.grad(maps[b, m].max(), free, strength, retain_graph=True)[0][b] for m, strength in ranked]
        for b, ranked in enumerate(zip(w, s, strict=True) for w, s in zip(which, strengths, strict=True))
    ]
    return torch.stack([torch.stack(row) for row in rows]), which, strengths.detach()


@each(FAMILIES)
def test_it_is_the_gradient_but_that_rectifiers_rectify_it(variant: Variant) -> None:
    network, x = seasoned(variant).double(), images(variant, 1).double()
    deconvolution, paths = Deconvolution(network, 2), list(LAYERS[variant.name].values())
    assert deconvolution.layers == tuple(LAYERS[variant.name])
    for number in {0, len(paths) // 2, len(paths) - 1}:
        path = paths[number]
        with torch.no_grad():
            found = deconvolution(x, torch.full((1,), number))
        reconstructions, maps, strengths = deconvolved(network, path, x, 2)
        torch.testing.assert_close(found[0], reconstructions)
        assert torch.equal(found[1], maps)
        torch.testing.assert_close(found[2], strengths)
        assert found[0].any(), path


class Linear(nn.Module):
    """Convolutions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 6, 3, stride=2), nn.Conv2d(6, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.features(x).mean((2, 3))
        return scores


def test_without_rectifiers_and_poolings_it_is_the_plain_gradient_times_the_activation() -> None:
    torch.manual_seed(0)
    network, x = Linear().double(), torch.randn(3, 2, 11, 11, dtype=torch.float64, requires_grad=True)
    reconstructions, maps, strengths = Deconvolution(network, 2)(x, torch.full((3,), 2))
    for row in range(3):
        for place in range(2):
            peak = network.features(x)[row, maps[row, place]].max()
            torch.testing.assert_close(strengths[row, place], peak)
            wanted = torch.autograd.grad(peak, x)[0][row] * peak
            torch.testing.assert_close(reconstructions[row, place], wanted)


@given(
    maps=st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=3, max_size=6),
    count=st.integers(1, 3),
)
def test_the_strongest_maps_keep_their_largest_activation_alone(maps: list[list[int]], count: int) -> None:
    x = torch.tensor([maps], dtype=torch.float32).reshape(1, -1, 2, 2)
    seeds, which, strengths = strongest(x, count)
    ranked = sorted(range(len(maps)), key=lambda number: (-max(maps[number]), number))[:count]
    assert which.tolist() == [ranked]
    assert strengths.tolist() == [[max(maps[number]) for number in ranked]]
    for seed, number in zip(seeds[0], ranked, strict=True):
        wanted = torch.zeros(len(maps), 4)
        wanted[number, maps[number].index(max(maps[number]))] = max(maps[number])
        assert torch.equal(seed.flatten(1), wanted)


def test_of_activations_that_saturate_the_first_is_the_strongest_whatever_the_rounding() -> None:
    saturated = torch.tensor([0.3, 1.7159, 1.7159, 1.6])[None, :, None, None].expand(1, 4, 2, 2)
    for seed in range(8):
        noise = 1e-6 * torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(seed))
        seeds, which, _ = strongest(saturated + noise, 2)
        assert which.tolist() == [[1, 2]]
        assert seeds[0].flatten(1).argmax(1).tolist() == [1 * 4, 2 * 4]


@each(FAMILIES)
def test_a_row_does_not_depend_on_its_batch_or_on_what_others_ask(variant: Variant) -> None:
    # In 64 bits: two pixels that are almost equal may change places in a pooling where a batch sums in another order.
    deconvolution, x = Deconvolution(seasoned(variant).double()), images(variant, 4).double()
    last = len(deconvolution.layers) - 1
    together = deconvolution(x, torch.tensor([0, last, 1, last]))
    alone = deconvolution(x[1:2], torch.tensor([last]))
    torch.testing.assert_close(together[0][1:2], alone[0])
    assert torch.equal(together[1][1:2], alone[1])
    assert not torch.equal(together[1][1:2], together[1][3:4])


@each(FAMILIES)
def test_a_reconstruction_lies_within_the_receptive_field(variant: Variant) -> None:
    network = build(variant.name).eval()
    fields, deconvolution = receptive_fields(network), Deconvolution(network)
    first = next(path for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        reconstructions = deconvolution(images(variant, 8), torch.zeros(8, dtype=torch.int64))[0]
    for row in reconstructions.flatten(0, 1).abs().sum(1):  # (H, W)
        for across in (0, 1):
            touched = row.sum(across).nonzero().flatten()
            assert len(touched)
            assert int(touched[-1] - touched[0]) < fields[first].side


@each(FAMILIES)
def test_a_blank_image_gives_finite_pixels(variant: Variant) -> None:
    deconvolution = Deconvolution(seasoned(variant))
    layers = torch.arange(len(deconvolution.layers))
    for answer in deconvolution(torch.zeros(len(layers), *variant.input_shape), layers):
        assert answer.isfinite().all()


def test_maps_that_saw_nothing_give_nothing_and_come_in_their_order() -> None:
    network = build("alexnet-28").eval()
    nn.init.constant_(network.get_parameter("features.0.bias"), -100)
    reconstructions, maps, strengths = Deconvolution(network)(images(find("alexnet-28"), 1), torch.tensor([0]))
    assert not reconstructions.any()
    assert maps.tolist() == [[0, 1, 2, 3]]
    assert strengths.tolist() == [[0, 0, 0, 0]]


@each(FAMILIES)
@pytest.mark.parametrize("option", [f"activation {name}" for name in ACTIVATIONS] + ["normalisation layer"])
def test_every_family_has_a_way_back_whatever_its_activation(variant: Variant, option: str) -> None:
    torch.manual_seed(0)
    key, value = option.split()
    deconvolution = Deconvolution(build(variant.name, {**thin(variant), key: value, "spatial_dropout": 0.5}), 2)
    reconstructions, *_ = deconvolution(images(variant, 2), torch.tensor([0, len(deconvolution.layers) - 1]))
    assert reconstructions.isfinite().all()
    assert reconstructions.shape == (2, 2, *variant.input_shape)
    assert reconstructions.flatten(2).any(2).all()


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_normalisation_has_a_way_back(normalisation: str) -> None:
    deconvolution = Deconvolution(build("vgg7-28", {"normalisation": normalisation}))
    assert deconvolution.layers == tuple(LAYERS["vgg7-28"])
    assert deconvolution(images(find("vgg7-28"), 1), torch.tensor([5]))[0].any()


@each(LARGE)
def test_a_large_row_has_a_way_back_to_all_of_its_pixels(variant: Variant) -> None:
    with torch.device("meta"):  # shapes only
        deconvolution = Deconvolution(build(variant.name))
        reconstructions, maps, strengths = deconvolution(
            torch.zeros(2, *variant.input_shape), torch.zeros(2, dtype=torch.int64)
        )
    assert reconstructions.shape == (2, 4, *variant.input_shape)
    assert maps.shape == strengths.shape == (2, 4)


def test_the_published_layers_have_the_names_that_people_know() -> None:
    with torch.device("meta"):
        names = {name: Deconvolution(build(name)).layers for name in ("vgg16", "alexnet", "resnet50", "xception")}
    assert names["vgg16"] == tuple(f"conv{number}" for number in range(1, 14))
    assert names["alexnet"] == tuple(f"conv{number}" for number in range(1, 6))
    assert names["resnet50"] == ("conv1", "layer1", "layer2", "layer3", "layer4")
    assert names["xception"] == ("conv1", "conv2", "entry", "middle", "exit")


def test_no_more_maps_are_shown_than_the_narrowest_layer_has() -> None:
    deconvolution = Deconvolution(build("lenet5"), 100)
    assert deconvolution(images(find("lenet5"), 1), torch.tensor([1]))[1].shape == (1, 6)


@each([variant for variant in EVERY if variant in SMALL and variant not in CONVOLUTIONAL])
def test_a_network_without_convolutions_has_no_way_back(variant: Variant) -> None:
    with pytest.raises(TypeError, match="has no convolutions of its own to reverse"):
        Deconvolution(build(variant.name))


def test_an_ensemble_has_no_layers_of_its_own() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList(build("lenet5") for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            first, second = (member(x) for member in self.members)
            both: Tensor = first + second
            return both

    with pytest.raises(TypeError, match="Both has no convolutions of its own"):
        Deconvolution(Both())


@pytest.mark.parametrize("foreign", [nn.Softmax2d(), nn.Upsample(scale_factor=2)], ids=["layer", "other layer"])
def test_an_operation_without_a_way_back_is_named(foreign: nn.Module) -> None:
    network = Linear()
    network.features.insert(1, foreign)
    with pytest.raises(TypeError, match=r"Linear: features\.1 cannot be reversed"):
        Deconvolution(network)
