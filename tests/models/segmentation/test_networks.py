"""What is particular to each segmentation network."""

from typing import Any

import pytest
import torch

from models.classification.rows import build as build_classifier
from models.segmentation.rows import build

VGG = {"widths": ((4,), (6,), (6,), (8,), (8,)), "hidden": 8, "classes": 3}


def test_the_encoder_takes_the_weights_of_a_vgg_by_name() -> None:
    classifier = build_classifier("vgg11-bn", VGG | {"channels": 3})
    segmenter = build("fcn8s", VGG)
    weights = {
        f"encoder.{name}": value for name, value in classifier.state_dict().items() if name.startswith("features.")
    }
    missing, strange = segmenter.load_state_dict(weights, strict=False)
    assert not strange
    assert not [name for name in missing if name.startswith("encoder.")]


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_scores_of_an_fcn_begin_at_nothing(stride: int) -> None:
    assert not build(f"fcn{stride}s", VGG)(torch.randn(1, 3, 64, 64)).any()


def test_fcn_8s_sees_finer_than_fcn_32s() -> None:
    """A change of pool3's scores alone changes the answer at that place."""
    torch.manual_seed(0)
    model: Any = build("fcn8s", VGG).eval()
    torch.nn.init.ones_(model.score_pool3.weight)
    x = torch.zeros(1, 3, 64, 64)
    x[:, :, 24:40, 24:40] = 1
    logits = model(x)
    assert (logits[0, 0, 28:36, 28:36] - logits[0, 0, :4, :4].mean()).abs().min() > 0


@pytest.mark.parametrize("upsampling", ["bed_of_nails", "max_unpooling"])
def test_scores_cannot_be_upsampled_with_holes(upsampling: str) -> None:
    with pytest.raises(KeyError, match=f"no upsampling of scores '{upsampling}'; there are nearest, bilinear"):
        build("fcn8s", {"upsampling": upsampling})


def test_a_stride_that_no_fcn_has_is_refused() -> None:
    with pytest.raises(ValueError, match="stride is 4 with 5 stages; it is 8, 16 or 32, with 5 stages"):
        build("fcn8s", {"stride": 4})


@pytest.mark.parametrize("name", ["segnet", "unet"])
@pytest.mark.parametrize(
    "upsampling", ["nearest", "bed_of_nails", "max_unpooling", "bilinear", "bicubic", "transposed"]
)
def test_encoder_decoders_work_with_every_upsampling(name: str, upsampling: str) -> None:
    config = {"widths": ((4, 4), (6, 6)), "upsampling": upsampling} | ({"bottom": (8,)} if name == "unet" else {})
    assert build(name, config)(torch.randn(2, 3, 20, 12)).shape == (2, 11, 20, 12)


def test_segnet_puts_values_back_where_the_maxima_were() -> None:
    """With decoders that change nothing, only the places of the maxima are not 0."""
    model: Any = build("segnet", {"widths": ((2,), (2,)), "channels": 1, "classes": 2}).eval()
    model.decoder[0], model.decoder[1] = torch.nn.Identity(), torch.nn.Identity()
    for layer in model.encoder.features:
        if isinstance(layer, torch.nn.Conv2d):  # each map copies its own, or the image
            torch.nn.init.zeros_(layer.weight)
            for number in range(2):
                layer.weight.data[number, number % layer.in_channels, 1, 1] = 1
    model.score.weight.data.copy_(torch.eye(2)[:, :, None, None])
    torch.nn.init.zeros_(model.score.bias)
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    answer = model(x)[0, 0]
    windows = x[0, 0].unfold(0, 4, 4).unfold(1, 4, 4).flatten(2)
    assert torch.allclose(answer[answer > 0].sort().values, windows.max(2).values.flatten().sort().values, rtol=1e-3)
    assert (answer > 0).sum() == 4
    assert torch.equal(answer > 0, (x[0, 0] == windows.max(2).values.repeat_interleave(4, 0).repeat_interleave(4, 1)))


def test_a_dilation_widens_what_a_unit_of_the_context_network_sees() -> None:
    def seen(dilations: tuple[int, ...]) -> int:
        torch.manual_seed(0)
        model: Any = build("context", {"widths": (4, 4, 4), "dilations": dilations, "spatial_dropout": 0.0}).eval()
        torch.nn.init.zeros_(model.whole.weight)  # else every pixel sees the whole image
        x = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)).requires_grad_()
        torch.autograd.backward(model.eighths(model.quarters(model.halves(model.stem(x))))[0, :, 16, 16].sum())
        assert x.grad is not None
        return int(x.grad.abs().sum((0, 1)).any(0).sum())

    assert seen((1, 8)) > seen((1, 1)) + 100


@pytest.mark.parametrize("name", ["segnet", "unet", "context"])
def test_the_scores_of_the_classes_begin_apart(name: str) -> None:
    """If they were alike, the maps would get the same gradient from all classes."""
    torch.manual_seed(0)
    model: Any = build(name)
    weight = model.score.weight.flatten(1)  # (classes, K)
    apart = torch.cdist(weight, weight)[~torch.eye(len(weight), dtype=torch.bool)]
    assert apart.min() > 0.3
