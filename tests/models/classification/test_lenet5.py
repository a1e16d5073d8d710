import pytest
import torch

from models.classification.lenet5 import LeNet5
from models.layers.activation import ScaledTanh


@pytest.mark.parametrize(("name", "shape"), [("c1", (6, 28, 28)), ("c3", (16, 10, 10)), ("c5", (120,)), ("f6", (84,))])
def test_layers_have_the_papers_sizes(name: str, shape: tuple[int, ...]) -> None:
    model, seen = LeNet5(), []
    model.get_submodule(name).register_forward_hook(lambda _m, _x, output: seen.append(tuple(output.shape[1:])))
    model(torch.zeros(1, 1, 28, 28))
    assert seen == [shape]


def test_pooling_is_the_average() -> None:
    model = LeNet5()
    seen: list[torch.Tensor] = []
    model.c3.register_forward_hook(lambda _m, x, _output: seen.append(x[0]))
    x = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model(x)
    maps = ScaledTanh()(model.c1(x))  # (1, 6, 28, 28)
    torch.testing.assert_close(seen[0][0, 2, 0, 1], maps[0, 2, 0:2, 2:4].mean())


def test_images_in_a_32x32_field_need_no_padding() -> None:
    model = LeNet5(channels=3, padding=0)
    assert model.maps(torch.zeros(1, 3, 32, 32)).shape == (1, 16, 5, 5)


def test_it_computes_what_the_paper_says_layer_by_layer() -> None:
    model, x = LeNet5(), torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    f = ScaledTanh()
    s2 = model.s2(f(model.c1(x)))
    s4 = model.s4(f(model.c3(s2)))
    wanted = model.output(f(model.f6(f(model.c5(s4.flatten(1))))))
    torch.testing.assert_close(model(x), wanted)


def test_dropout_follows_both_full_connections_and_spatial_dropout_both_poolings() -> None:
    model, dropped = LeNet5(dropout=0.5, spatial_dropout=0.5), []
    for layer in (model.dropout, model.spatial_dropout):
        layer.register_forward_hook(lambda _layer, _inputs, output: dropped.append(tuple(output.shape[1:])))
    model(torch.zeros(1, 1, 28, 28))
    assert dropped == [(6, 14, 14), (16, 5, 5), (120,), (84,)]
