"""A test without the mark neither fits nor exports: see tests/needs.py."""

from pathlib import Path

import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from training.export.onnx_file import trace
from training.fit import fit


def test_a_fit_is_noticed(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="test_a_fit_is_noticed fits a model without the mark 'fit'"):
        fit(tiny_recipe(), tmp_path, tiny.folder)


def test_an_export_is_noticed() -> None:
    with pytest.raises(AssertionError, match="an_export_is_noticed traces a model to ONNX without the mark 'export'"):
        trace(torch.nn.Identity(), {"x": torch.zeros(1, 2)}, ("y",))
