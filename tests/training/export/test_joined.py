"""Graphs joined one after the other compute what their modules do."""

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from tests.needs import needs
from training.export.joined import join
from training.export.onnx_file import open_onnx, save, trace


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Compared(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return y - x, y.sum(1)


@pytest.fixture(scope="module")
@needs("export")
def graphs() -> list[onnx.ModelProto]:
    free = {1: Dim("width", min=2)}
    return [
        trace(Doubled(), {"x": torch.zeros(2, 3)}, ["y"], {"x": free}),
        trace(
            Compared(), {"x": torch.zeros(2, 3), "y": torch.zeros(2, 3)}, ["difference", "sum"], {"x": free, "y": free}
        ),
    ]


@needs("export")
def test_a_tensor_of_the_same_name_goes_from_one_graph_to_the_next(
    graphs: list[onnx.ModelProto], tmp_path: Path
) -> None:
    save(join(graphs, ["x"], ["sum", "difference"]), tmp_path / "whole.onnx")
    session = open_onnx(tmp_path / "whole.onnx")
    x = np.arange(10, dtype=np.float32).reshape(2, 5)
    total, difference = session.run(None, {"x": x})
    assert [each.name for each in session.get_inputs()] == ["x"]
    assert np.array_equal(difference, x)
    assert np.array_equal(total, 2 * x.sum(1))


@needs("export")
def test_graphs_of_different_operator_sets_are_refused(graphs: list[onnx.ModelProto]) -> None:
    other = copy.deepcopy(graphs[1])
    other.opset_import[0].version = 18
    with pytest.raises(ValueError, match="graphs of different operator sets cannot be joined"):
        join([graphs[0], other], ["x"], ["sum"])
