import pytest
import torch

from models.classification.googlenet import GoogLeNet, Heads
from models.classification.rows import build
from tests.models.published import Shapes, batch_norm, parametrised

# Szegedy et al., table 1: 1x1, reduction, 3x3, reduction, 5x5, projection, and what goes in.
TABLE = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def convolution(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    return {f"{name}.conv.weight": (outputs, inputs, kernel, kernel), **batch_norm(f"{name}.bn", outputs)}


def published(*, auxiliary: bool) -> Shapes:
    """torchvision's rule, whose third branch has 3x3 kernels where the paper has 5x5."""
    wanted = convolution("conv1", 64, 3, 7) | convolution("conv2", 64, 64, 1) | convolution("conv3", 192, 64, 3)
    for name, (inputs, one, reduce3, three, reduce5, five, pooled) in TABLE.items():
        module = f"inception{name}"
        wanted |= convolution(f"{module}.branch1", one, inputs, 1)
        wanted |= convolution(f"{module}.branch2.0", reduce3, inputs, 1)
        wanted |= convolution(f"{module}.branch2.1", three, reduce3, 3)
        wanted |= convolution(f"{module}.branch3.0", reduce5, inputs, 1)
        wanted |= convolution(f"{module}.branch3.1", five, reduce5, 3)
        wanted |= convolution(f"{module}.branch4.1", pooled, inputs, 1)
    for name, inputs in {"aux1": 512, "aux2": 528}.items() if auxiliary else ():
        wanted |= convolution(f"{name}.conv", 128, inputs, 1)
        wanted |= parametrised(f"{name}.fc1", 1024, 2048) | parametrised(f"{name}.fc2", 1000, 1024)
    return wanted | parametrised("fc", 1000, 1024)


@pytest.mark.parametrize(("auxiliary", "parameters"), [(False, 6_624_904), (True, 13_004_888)])
def test_parameters_have_torchvisions_names_and_shapes(auxiliary: bool, parameters: int) -> None:
    with torch.device("meta"):
        model = build("googlenet", {"auxiliary": auxiliary})
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == published(auxiliary=auxiliary)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_auxiliary_heads_answer_in_training_only() -> None:
    model = build("googlenet-28", {"auxiliary": True, "scale": 1 / 16})
    x = torch.randn(2, 1, 28, 28)
    heads = model(x)
    assert isinstance(heads, Heads)
    assert [logits.shape for logits in (heads.logits, *heads.auxiliary)] == [(2, 10)] * 3
    logits = model.eval()(x)
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 10)


def test_every_head_starts_without_an_opinion() -> None:
    heads = build("googlenet-28", {"auxiliary": True})(torch.randn(8, 1, 28, 28))
    for logits in (heads.logits, *heads.auxiliary):
        assert logits.abs().max() < 0.2


def test_an_auxiliary_head_brings_a_gradient_to_the_layers_below_it_only() -> None:
    model = build("googlenet-28", {"auxiliary": True, "scale": 1 / 16})
    torch.autograd.backward(model(torch.randn(4, 1, 28, 28)).auxiliary[0].square().sum())
    reached = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {"conv1", "conv2", "conv3", "inception3a", "inception3b", "inception4a", "aux1"}


def test_1x1_reductions_save_most_of_the_multiplications() -> None:
    """The lecture's point, for module 3a's 5x5 branch on its 28x28 maps."""
    inputs, reduced, outputs = 192, 16, 32
    module = GoogLeNet(large=5).get_submodule("inception3a")
    weights = [module.get_parameter(f"branch3.{n}.conv.weight").numel() for n in (0, 1)]
    assert weights == [inputs * reduced, 25 * reduced * outputs]
    assert sum(weights) < 25 * inputs * outputs / 9


def test_branches_lie_side_by_side() -> None:
    module = build("googlenet-28").get_submodule("inception3a").eval()
    x = torch.randn(1, 48, 7, 7)
    y = module(x)
    assert y.shape == (1, 64, 7, 7)
    assert torch.equal(y[:, :16], module.get_submodule("branch1")(x))
    pooled = torch.nn.functional.max_pool2d(x, 3, stride=1, padding=1)
    assert torch.equal(y[:, -8:], module.get_submodule("branch4.1")(pooled))
