import pytest
import torch

from models.classification.resnet import ResNet, ZeroPadding
from models.classification.rows import build
from tests.models.published import Shapes, batch_norm, parametrised

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
KERNELS = {"basic": (3, 3), "bottleneck": (1, 3, 1)}


def published(depths: tuple[int, ...], block: str) -> Shapes:
    """torchvision's rule: layer<stage>.<block>.conv<n>, bn<n>, and downsample where the shape changes."""
    expansion = 4 if block == "bottleneck" else 1
    wanted: Shapes = {"conv1.weight": (64, 3, 7, 7), **batch_norm("bn1", 64)}
    inputs = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for index in range(depth):
            name = f"layer{stage + 1}.{index}"
            maps = [inputs, *(width for _ in KERNELS[block][:-1]), width * expansion]
            for number, kernel in enumerate(KERNELS[block]):
                wanted[f"{name}.conv{number + 1}.weight"] = (maps[number + 1], maps[number], kernel, kernel)
                wanted |= batch_norm(f"{name}.bn{number + 1}", maps[number + 1])
            if inputs != width * expansion or (index == 0 and stage > 0):
                wanted[f"{name}.downsample.0.weight"] = (width * expansion, inputs, 1, 1)
                wanted |= batch_norm(f"{name}.downsample.1", width * expansion)
            inputs = width * expansion
    return wanted | parametrised("fc", 1000, inputs)


@pytest.mark.parametrize(
    ("name", "block", "entries"),
    [
        ("resnet18", "basic", 122),
        ("resnet34", "basic", 218),
        ("resnet50", "bottleneck", 320),
        ("resnet101", "bottleneck", 626),
    ],
)
def test_parameters_have_torchvisions_names_and_shapes(name: str, block: str, entries: int) -> None:
    with torch.device("meta"):
        found = build(name).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == published(DEPTHS[name], block)
    assert len(found) == entries


@pytest.mark.parametrize(
    ("name", "shape", "maps"),
    [
        ("resnet18", (3, 224, 224), (512, 7, 7)),
        ("resnet50", (3, 224, 224), (2048, 7, 7)),
        ("resnet20", (3, 32, 32), (64, 8, 8)),
    ],
)
def test_the_last_maps_have_the_papers_size(name: str, shape: tuple[int, ...], maps: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = build(name)
        assert isinstance(model, ResNet)
        assert model.maps(torch.zeros(1, *shape)).shape[1:] == maps


def test_the_shortcut_of_zeros_takes_every_other_pixel_and_adds_empty_maps() -> None:
    x = torch.randn(2, 3, 6, 6)
    y = ZeroPadding(3, 5, stride=2)(x)
    assert torch.equal(y[:, :3], x[:, :, ::2, ::2])
    assert y.shape == (2, 5, 3, 3)
    assert not y[:, 3:].any()


def test_the_empty_maps_can_be_on_both_sides() -> None:
    x = torch.randn(2, 3, 6, 6)
    y = ZeroPadding(3, 6, stride=2, both_sides=True)(x)
    assert torch.equal(y[:, 1:4], x[:, :, ::2, ::2])
    assert y.shape == (2, 6, 3, 3)
    assert not y[:, :1].any()
    assert not y[:, 4:].any()


def test_where_the_zeros_are_changes_no_weight_but_the_answers() -> None:
    torch.manual_seed(0)
    one, both = build("resnet20"), build("resnet20", {"shortcut": "zero_padding_both_sides"})
    both.load_state_dict(one.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(one.eval()(x), both.eval()(x), rtol=0.1)
    with pytest.raises(KeyError, match="no shortcut 'a'; there are zero_padding, zero_padding_both_sides, projection"):
        build("resnet20", {"shortcut": "a"})


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_a_block_whose_residual_is_0_is_a_rectified_identity(name: str) -> None:
    block = build(name, {"widths": [4] * (3 if name == "resnet20" else 4)}).get_submodule("layer1.1").eval()
    last = "bn2" if name == "resnet20" else "bn3"
    torch.nn.init.zeros_(block.get_parameter(f"{last}.weight"))
    x = torch.randn(1, 4 if name == "resnet20" else 16, 5, 5)
    assert torch.equal(block(x), x.relu())


def test_a_projection_costs_parameters_and_zeros_don_t() -> None:
    zeros, projection = build("resnet20"), build("resnet20", {"shortcut": "projection"})
    counts = [sum(p.numel() for p in model.parameters()) for model in (zeros, projection)]
    # Two 1x1 convolutions and their batch norms.
    assert counts[1] - counts[0] == 16 * 32 + 32 * 64 + 2 * (32 + 64)
