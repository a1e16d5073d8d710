import pytest
import torch
from torch import nn

from models.classification.rows import build
from tests.models.published import Shapes, batch_norm, parametrised

# torchvision's numbers of the convolutions; rectifiers, poolings and batch norms take the others.
PLAIN = {
    "vgg11": (0, 3, 6, 8, 11, 13, 16, 18),
    "vgg13": (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}
NORMALISED = {
    "vgg11-bn": (0, 4, 8, 11, 15, 18, 22, 25),
    "vgg13-bn": (0, 3, 7, 10, 14, 17, 21, 24, 28, 31),
    "vgg16-bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
    "vgg19-bn": (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49),
}
WIDTHS = {8: (1, 1, 2, 2, 2), 10: (2, 2, 2, 2, 2), 13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}


def published(numbers: tuple[int, ...], *, normalised: bool) -> Shapes:
    stages = zip((64, 128, 256, 512, 512), WIDTHS[len(numbers)], strict=True)
    outputs = [width for width, depth in stages for _ in range(depth)]
    inputs = [3, *outputs]
    wanted: Shapes = {}
    for number, before, after in zip(numbers, inputs, outputs, strict=False):
        wanted |= parametrised(f"features.{number}", after, before, 3, 3)
        if normalised:
            wanted |= batch_norm(f"features.{number + 1}", after)
    for number, before, after in ((0, 512 * 7 * 7, 4096), (3, 4096, 4096), (6, 4096, 1000)):
        wanted |= parametrised(f"classifier.{number}", after, before)
    return wanted


@pytest.mark.parametrize("name", [*PLAIN, *NORMALISED])
def test_parameters_have_torchvisions_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        found = build(name).state_dict()
    wanted = published({**PLAIN, **NORMALISED}[name], normalised=name in NORMALISED)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == wanted


def test_every_convolution_keeps_the_size_and_every_pooling_halves_it() -> None:
    with torch.device("meta"):
        model, seen = build("vgg16"), []
        for layer in model.modules():
            if isinstance(layer, nn.MaxPool2d):
                layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
        model(torch.zeros(1, 3, 224, 224))
    assert seen == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]


def test_spatial_dropout_follows_each_pooling() -> None:
    features = list(build("vgg7-28", {"spatial_dropout": 0.1}).get_submodule("features").children())
    pools = [number for number, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    assert [isinstance(features[number + 1], nn.Dropout2d) for number in pools] == [True] * 3
