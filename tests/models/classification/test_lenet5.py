import pytest
import torch

from models.classification.lenet5 import LeNet5, squash


def test_the_activation_is_the_papers_scaled_tanh() -> None:
    values = squash(torch.tensor([-1.0, 0.0, 1.0, 1e3]))
    torch.testing.assert_close(values, torch.tensor([-1.0, 0.0, 1.0, 1.7159]), atol=1e-4, rtol=0)


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
    maps = squash(model.c1(x))  # (1, 6, 28, 28)
    torch.testing.assert_close(seen[0][0, 2, 0, 1], maps[0, 2, 0:2, 2:4].mean())
