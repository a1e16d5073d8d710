import torch

from models.classification.rows import build
from tests.models.published import Shapes, parametrised


def test_parameters_have_torchvisions_names_and_shapes() -> None:
    with torch.device("meta"):
        found = build("alexnet").state_dict()
    # Numbers count rectifiers, poolings and dropouts too.
    convolutions = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    linear = {1: (4096, 256 * 6 * 6), 4: (4096, 4096), 6: (1000, 4096)}
    wanted: Shapes = {}
    for number, (outputs, inputs, kernel) in convolutions.items():
        wanted |= parametrised(f"features.{number}", outputs, inputs, kernel, kernel)
    for number, (outputs, inputs) in linear.items():
        wanted |= parametrised(f"classifier.{number}", outputs, inputs)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == wanted


def test_maps_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        model = build("alexnet")
        seen = []
        for layer in model.get_submodule("features").children():
            layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
        model(torch.zeros(1, 3, 224, 224))
    assert [seen[number] for number in (0, 2, 3, 5, 6, 8, 10, 12)] == [
        (64, 55, 55),
        (64, 27, 27),
        (192, 27, 27),
        (192, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
    ]
