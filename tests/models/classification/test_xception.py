import torch
from torch import nn

from models.classification.rows import build
from models.classification.xception import Block, Separable, Xception


def test_a_separable_convolution_is_one_of_each_map_then_one_of_each_pixel() -> None:
    layer = Separable(3, 5, "none")
    x = torch.randn(2, 3, 6, 6)
    kernel = layer.pointwise.weight * layer.depthwise.weight[:, 0]  # (5, 3, 1, 1) * (3, 3, 3) -> (5, 3, 3, 3)
    wanted = nn.functional.conv2d(x, kernel, layer.pointwise.bias, padding=1)
    torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-5)


def test_the_maps_of_299x299_are_the_papers() -> None:
    with torch.device("meta"):
        model = build("xception")
        assert isinstance(model, Xception)
        x = model.stem(torch.zeros(1, 3, 299, 299))
        assert x.shape[1:] == (64, 147, 147)
        sizes = []
        for block in model.entry:
            x = block(x)
            sizes.append(tuple(x.shape[1:]))
        assert sizes == [(128, 74, 74), (256, 37, 37), (728, 19, 19)]
        assert model.middle(x).shape[1:] == (728, 19, 19)
        assert model.exit(x).shape[1:] == (2048, 10, 10)


def test_it_has_36_convolutions_besides_its_shortcuts() -> None:
    with torch.device("meta"):
        model = build("xception")
    separable = sum(isinstance(module, Separable) for module in model.modules())
    plain = sum(isinstance(module, nn.Conv2d) for module in model.get_submodule("stem").modules())
    assert (separable, plain) == (34, 2)


def test_a_block_of_the_middle_flow_adds_to_what_it_gets() -> None:
    block = Block(4, (4, 4, 4), "batch", "relu", pooled=False).eval()
    nn.init.zeros_(block.get_parameter("residual.5.norm.weight"))
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(x), x)
