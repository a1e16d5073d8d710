from pathlib import Path

import numpy as np
import pytest
import torch

from models.segmentation.graph import SegmentationGraph
from models.segmentation.rows import build
from models.segmentation.segmenter import Segmenter
from tests.training.loaded import loaded
from training.export.int8 import quantise
from training.export.onnx_file import save
from training.segmentation.package import stored_network
from training.segmentation.served_file import odd, run_onnx, to_onnx

MEAN, STD = (0.4, 0.4, 0.4), (0.3, 0.3, 0.3)


@pytest.mark.export
def test_max_unpooling_finds_nearly_the_same_places_in_8_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("segnet", {"widths": ((8,), (12,)), "classes": 4}).eval()
    assert isinstance(network, Segmenter)
    squares = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 3)).astype(np.uint8)[:, ::8, ::8]
    images = np.repeat(np.repeat(squares, 8, 1), 8, 2)
    model = to_onnx(SegmentationGraph(stored_network(network, "int8"), MEAN, STD).eval(), images)
    whole, small = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    save(model, whole)
    quantise(model, images, small, MEAN, STD)
    for seen in (images, odd(images)):
        assert (run_onnx(whole, seen) == run_onnx(small, seen)).mean() > 0.9
    assert loaded(small)["QLinearConv"] == 4
