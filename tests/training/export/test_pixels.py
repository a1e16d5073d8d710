import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from models.classification.rows import find
from models.variant import Variant
from tests.models.rows import GREY, each, seasoned
from training.classification.graph import IMAGE, Served
from training.classification.served_file import to_onnx
from training.export.pixels import fold_pixels

pytestmark = pytest.mark.export

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


class Convolution(nn.Module):
    """One convolution with padding, and the means of its maps."""

    def __init__(self, channels: int, *, bias: bool = True, padding: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 6, 3, padding=padding, bias=bias, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.convolution(x)
        return maps.mean((2, 3))


def graph(model: nn.Module, channels: int = 3) -> onnx.ModelProto:
    shape = (8, 8) if channels == 1 else (8, 8, channels)
    return to_onnx(Served(model.eval(), MEAN[:channels], STD[:channels]), shape)


def answer(
    model: onnx.ModelProto, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probabilities"], {IMAGE: images})[0])


def noise(channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    shape = (4, 8, 8) if channels == 1 else (4, 8, 8, channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_without_padding_nothing_changes(channels: int, bias: bool) -> None:
    torch.manual_seed(0)
    before = graph(Convolution(channels, bias=bias, padding=0), channels)
    after = onnx.ModelProto()
    after.CopyFrom(before)
    pixels = fold_pixels(after, MEAN[:channels], STD[:channels])
    assert pixels is not None
    assert pixels.zero == {1: 125, 3: 121}[channels]  # 255 times the mean, or the mean of the means
    np.testing.assert_allclose(answer(after, noise(channels)), answer(before, noise(channels)), atol=1e-5)


def test_padding_is_the_nearest_grey_instead_of_the_mean() -> None:
    torch.manual_seed(0)
    before = graph(Convolution(3))
    after = onnx.ModelProto()
    after.CopyFrom(before)
    fold_pixels(after, MEAN, STD)
    np.testing.assert_allclose(answer(after, noise(3)), answer(before, noise(3)), atol=0.02)


@each([variant for variant in (*GREY, find("resnet20")) if variant.receptive_field])
def test_in_every_convolutional_family_the_first_layer_takes_them(variant: Variant) -> None:
    channels, height, width = variant.input_shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    model = to_onnx(Served(seasoned(variant), MEAN[:channels], STD[:channels]), shape)
    assert fold_pixels(model, MEAN[:channels], STD[:channels]) is not None
    onnx.checker.check_model(model, full_check=True)


class Twice(Convolution):
    """Reads the pixels a second time, past the convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("model", [Twice(3), Convolution(3, groups=3), seasoned(find("softmax"))], ids=str)
def test_where_something_else_reads_the_pixels_nothing_is_done(model: nn.Module) -> None:
    grey = not isinstance(model, Convolution)
    before = to_onnx(Served(model.eval(), MEAN[:1], STD[:1]), (28, 28)) if grey else graph(model)
    after = onnx.ModelProto()
    after.CopyFrom(before)
    assert fold_pixels(after, MEAN, STD) is None
    assert after == before
