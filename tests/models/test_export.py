"""Every layer in an ONNX graph, beside torch; whole rows are exported by `tests/training/export`."""

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
from training.export.onnx_file import OPSET

pytestmark = pytest.mark.export


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


def assert_parity(model: nn.Module, x: torch.Tensor, path: Path, batches: tuple[int, ...] = (1, 3)) -> None:
    session = exported(model, x[:2], path)
    for batch in batches:
        with torch.no_grad():
            wanted = model(x[:batch])
        found = session.run(None, {session.get_inputs()[0].name: x[:batch].numpy()})
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for ours, theirs in zip(found, wanted, strict=True):
            # Of fresh weights, maps may be in the ten thousands: what they round by grows with the largest.
            largest = max(10.0, float(theirs.abs().max()))
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.slow
@pytest.mark.parametrize(
    "option",
    [{"activation": name} for name in ACTIVATIONS] + [{"normalisation": name} for name in NORMALISATIONS],
    ids=lambda option: next(iter(option.values())),
)
def test_every_layer_can_be_exported(option: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("lenet5", {"initialisation": "he", "cam": True, **option}).eval()
    nn.init.normal_(model.get_parameter("fc.weight"))
    assert_parity(model, images(find("lenet5"), 3), tmp_path / "model.onnx")
