"""The graph that shows what drives a map, beside torch."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from models.classification.rows import build, find
from models.deconvolution import Deconvolution
from models.variant import Variant
from service.package import Deconvolution as Description
from service.package import TensorSpec
from tests.models.rows import CONVOLUTIONAL, each, seasoned, thin
from tests.models.rows import GREY as GREY_ROWS
from tests.needs import needs
from tests.training.tiny import digits
from training.classification import deconvolution
from training.classification.deconvolution import (
    DECONV_GRAPH,
    PARITY_LIMIT,
    ServedDeconvolution,
    compute,
    deconvolution_parity,
    golden_deconvolution,
    largest_batch,
    steady,
    write_deconvolution,
)
from training.data import Bytes
from training.errors import ExportError
from training.export.float16 import round_weights
from training.export.folding import fold_normalisation
from training.export.onnx_file import open_onnx

GREY, COLOUR = (28, 28), (32, 32, 3)
OUTPUTS = ["reconstructions", "maps", "strengths"]


def served(name: str, **config: Any) -> ServedDeconvolution:
    variant = find(name)
    channels = variant.input_shape[0]
    model = build(name, {**thin(variant), **config})
    return ServedDeconvolution(model, (0.3,) * channels, (0.4,) * channels, 2)


def noise(rows: int, shape: tuple[int, ...]) -> Bytes:
    return np.random.default_rng(0).integers(0, 256, (rows, *shape), np.uint8)


@pytest.fixture(scope="module")
def alexnet() -> ServedDeconvolution:
    """Five convolutions and three overlapping poolings."""
    back = served("alexnet-28")
    round_weights(back)
    return back


@pytest.fixture(scope="module")
@needs("export")
def written(alexnet: ServedDeconvolution, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Description]:
    """`alexnet` in a file, and what was said of it; read it only."""
    path = tmp_path_factory.mktemp("deconvolution") / DECONV_GRAPH
    return path, write_deconvolution(alexnet, GREY, path)


def test_the_card_is_told_what_the_graph_is(written: tuple[Path, Description]) -> None:
    path, description = written
    description.check(TensorSpec(name="image", datatype="UINT8", shape=(-1, *GREY)))
    assert description.layers == ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert description.graph.file == path.name
    assert description.graph.max_batch == 16
    assert description.reconstruction == (2, *GREY)


@pytest.mark.export
def test_colours_come_last_as_in_the_image(tmp_path: Path) -> None:
    description = write_deconvolution(served("lenet5-32"), COLOUR, tmp_path / DECONV_GRAPH)
    description.check(TensorSpec(name="image", datatype="UINT8", shape=(-1, *COLOUR)))
    (found,) = open_onnx(tmp_path / DECONV_GRAPH).run(
        OUTPUTS[:1], {"image": noise(3, COLOUR), "layer": np.array([0, 1, 1])}
    )
    assert found.shape == (3, 2, *COLOUR)
    assert found.any((0, 1, 2, 3)).all()


def test_real_digits_are_answered_as_torch_does_at_every_batch_size(
    alexnet: ServedDeconvolution, written: tuple[Path, Description]
) -> None:
    differences = deconvolution_parity(written[0], alexnet, digits()[0])
    assert list(differences) == ["1", "3", "5"]
    assert max(differences.values()) < 1e-5


def test_each_row_of_a_batch_may_ask_for_its_own_layer(written: tuple[Path, Description]) -> None:
    session, rows, layer = open_onnx(written[0]), digits()[0][:5], np.array([4, 0, 2, 2, 1])
    together = session.run(OUTPUTS, {"image": rows, "layer": layer})
    for row in range(5):
        alone = session.run(OUTPUTS, {"image": rows[row : row + 1], "layer": layer[row : row + 1]})
        for ours, theirs in zip(alone, together, strict=True):
            np.testing.assert_allclose(ours[0], theirs[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pixel", [0, 255])
def test_a_blank_image_gives_finite_pixels(pixel: int, written: tuple[Path, Description]) -> None:
    blank = np.full((5, *GREY), pixel, np.uint8)
    for answer in open_onnx(written[0]).run(OUTPUTS, {"image": blank, "layer": np.arange(5)}):
        assert np.isfinite(answer).all()


def test_rounded_kernels_are_stored_in_16_bits_and_once(written: tuple[Path, Description]) -> None:
    tensors = onnx.load(written[0]).graph.initializer
    kernels = [tensor for tensor in tensors if len(tensor.dims) == 4 and np.prod(tensor.dims) >= 256]
    assert kernels
    assert {tensor.data_type for tensor in kernels} == {TensorProto.FLOAT16}
    assert len({tensor.raw_data for tensor in kernels}) == len(kernels)


def test_another_networks_file_is_refused(written: tuple[Path, Description]) -> None:
    with pytest.raises(ExportError, match=r"deconvolution, batch 1: "):
        deconvolution_parity(written[0], served("alexnet-28"), digits()[0])


def test_other_pixels_are_refused_where_the_maps_agree(
    alexnet: ServedDeconvolution, written: tuple[Path, Description]
) -> None:
    other = ServedDeconvolution(alexnet.deconvolution.network, alexnet.mean, (0.4001,), 2)
    with pytest.raises(
        ExportError, match=r"differs from torch by \S+ of the largest value; at most 0\.0001 is allowed"
    ):
        deconvolution_parity(written[0], other, digits()[0])


def test_the_golden_example_asks_for_the_first_layer_and_the_last(
    alexnet: ServedDeconvolution, written: tuple[Path, Description]
) -> None:
    golden = golden_deconvolution(alexnet, digits()[0], "deconv")
    assert set(golden) == {f"deconv.{name}" for name in ("image", "layer", *OUTPUTS)}
    assert golden["deconv.layer"].tolist() == [0, 4]
    found = open_onnx(written[0]).run(OUTPUTS, {name: golden[f"deconv.{name}"] for name in ("image", "layer")})
    for name, array in zip(OUTPUTS, found, strict=True):
        np.testing.assert_allclose(array, golden[f"deconv.{name}"], rtol=1e-4, atol=1e-5)


class Level(nn.Module):
    """Many equal maps: which of them is the strongest is for the rounding to say."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU())
        nn.init.ones_(self.features.get_parameter("0.weight"))
        nn.init.zeros_(self.features.get_parameter("0.bias"))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.features(x).mean((2, 3))
        return scores


def test_answers_that_hang_on_rounding_are_compared_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Equal maps stay equal to five digits: it takes more than a millionth of a weight to tell them apart.
    monkeypatch.setattr(deconvolution, "SHAKEN", 1e-3)
    back = ServedDeconvolution(Level(), (0.0,), (1.0,), 1)
    with pytest.raises(ExportError, match=r"deconvolution, conv1: the answers to all 3 images depend on rounding"):
        steady(back, digits()[0][:3], [0])


def test_an_image_is_compared_where_more_digits_change_nothing(alexnet: ServedDeconvolution) -> None:
    rows, layer = steady(alexnet, digits()[0], [4, 0])
    assert layer.tolist() == [4, 0]
    found = compute(alexnet, rows, layer)["reconstructions"]
    x = (torch.from_numpy(rows).unsqueeze(1).double() / 255 - 0.3) / 0.4
    network = deepcopy(alexnet.deconvolution.network).double()
    exact = Deconvolution(network, 2)(x, torch.from_numpy(layer))[0].squeeze(2).detach().numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=PARITY_LIMIT * np.abs(exact).max())


def test_folding_the_normalisation_leaves_the_reconstructions() -> None:
    network, rows, layer = seasoned(find("vgg7-28")), digits()[0][:6], np.arange(6)
    whole, folded = (ServedDeconvolution(model, (0.3,), (0.4,)) for model in (network, fold_normalisation(network)))
    for name, wanted in compute(whole, rows, layer).items():
        found = compute(folded, rows, layer)[name]
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_a_run_holds_fewer_rows_where_a_row_is_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    back = served("lenet5")
    # 6 maps of 28x28 pixels from 5x5, 16 of 10x10 from 6 x 5x5; down, for 2 maps, the same again and S2's shares.
    macs = (6 * 28 * 28 * 25 + 16 * 10 * 10 * 150) * 3 + 2 * 6 * 28 * 28
    for rows, wanted in ((0.5, 1), (1, 1), (5.5, 5), (100, 16)):
        monkeypatch.setattr(deconvolution, "BATCH_MACS", int(rows * macs))
        assert largest_batch(back, GREY) == wanted


@pytest.mark.slow
@each([variant for variant in (*GREY_ROWS, find("resnet20")) if variant in CONVOLUTIONAL])
def test_a_row_under_onnx_runtime_goes_back_as_torch_does(variant: Variant, tmp_path: Path) -> None:
    channels, *side = variant.input_shape
    shape = tuple(side) if channels == 1 else (*side, channels)
    back = ServedDeconvolution(fold_normalisation(seasoned(variant)), (0.3,) * channels, (0.4,) * channels)
    write_deconvolution(back, shape, tmp_path / DECONV_GRAPH)
    assert max(deconvolution_parity(tmp_path / DECONV_GRAPH, back, noise(8, shape)).values()) < 1e-4
