"""Every layer in an ONNX graph, beside torch; whole families are exported by `tests/training/export`."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from models.classification.rows import build, find
from models.layers.activation import ACTIVATIONS
from models.layers.normalisation import NORMALISATIONS
from tests.models.rows import images
from tests.needs import needs
from training.export.onnx_file import OPSET


class SideBySide(nn.Module):
    """Networks that have the same input, traced as one: a trace takes longer to begin than a network takes."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(network(x) for network in self.networks)


def network(option: dict[str, str]) -> nn.Module:
    torch.manual_seed(0)
    model = build("lenet5", {"initialisation": "he", "cam": True, **option}).eval()
    nn.init.normal_(model.get_parameter("fc.weight"))
    return model


def exported(model: nn.Module, example: torch.Tensor, path: Path) -> ort.InferenceSession:
    """``model`` written for any batch, as the export of a package writes it."""
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        batch = torch.export.Dim("batch")
        torch.onnx.export(
            model, (example,), path, dynamo=True, dynamic_shapes=({0: batch},), opset_version=OPSET, verbose=False
        )
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


OPTIONS = [{"activation": name} for name in ACTIVATIONS] + [{"normalisation": name} for name in NORMALISATIONS]


@pytest.fixture(scope="module")
@needs("export")
def session(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    """A graph of all networks, with an output for each."""
    model = SideBySide([network(option) for option in OPTIONS]).eval()
    return exported(model, images(find("lenet5"), 2), tmp_path_factory.mktemp("layers") / "model.onnx")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: next(iter(option.values())))
def test_every_layer_can_be_exported(option: dict[str, str], batch: int, session: ort.InferenceSession) -> None:
    x = images(find("lenet5"), 3)[:batch]
    with torch.no_grad():
        wanted = network(option)(x).numpy()
    output = session.get_outputs()[OPTIONS.index(option)].name
    (found,) = session.run([output], {session.get_inputs()[0].name: x.numpy()})
    # Of fresh weights, maps may be in the ten thousands: what they round by grows with the largest.
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * max(10.0, float(np.abs(wanted).max())))
