"""Of which graphs without a card rows of several requests may share a run."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from service.engine import row_probe
from service.engine.onnx_graph import open_graph
from service.engine.signature import read_signature
from tests.bare_packages import (
    adder,
    box_suppressor,
    compressor,
    detector,
    graph,
    not_for_zeros,
    over_the_batch,
    some_rows,
    unique_rows,
)


def why_apart(folder: Path, model: ModelProto) -> str:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return read_signature(folder / "model.onnx", open_graph(folder / "model.onnx", 1)).stay_apart


def looked_up(goes: str | None = None) -> ModelProto:
    """A row of a table of 50 for each token of any number: tokens from 50 on fail."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [50, 2], np.arange(100, dtype="f4"))
    made = graph([helper.make_node("Gather", ["table", "x"], ["y"])], ("N", "L"), (goes, "L", 2), TensorProto.FLOAT)
    made.graph.initializer.append(table)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return made


def one_row_only(goes: str = "N") -> ModelProto:
    """Says that it takes any number of rows, and fails on more than one."""
    most = helper.make_tensor("most", TensorProto.INT64, [2], [1, 4])
    nodes = [
        helper.make_node("Shape", ["x"], ["came"]),
        helper.make_node("Min", ["came", "most"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    return graph(nodes, ("N", 4), (goes, 4), TensorProto.FLOAT, [most])


SHARED = {
    "declared": adder(("N", 4)),
    "unnamed": adder((None, 4)),
    "other_name": graph([helper.make_node("Relu", ["x"], ["y"])], ("N", 4), ("M", 4), TensorProto.FLOAT),
    "whole_numbers": adder(datatype=TensorProto.INT64),
    "halves": adder((None, 4), datatype=TensorProto.FLOAT16),
    "free_images": adder(("N", "H", "W")),
    "any_size_but_one": not_for_zeros(),
    "tokens": looked_up(),
    "declared_branch": some_rows(1e6),
}


@pytest.mark.parametrize("model", SHARED.values(), ids=SHARED)
def test_rows_share_a_run_of_a_graph_that_keeps_them_apart(model: ModelProto, tmp_path: Path) -> None:
    assert why_apart(tmp_path, model) == ""


APART = {
    "compress": (compressor(), "Compress in the graph may return other rows than it gets"),
    "compress_declared": (compressor("N"), "Compress in the graph"),
    "unique": (unique_rows(), "Unique in the graph"),
    "unique_declared": (unique_rows("N"), "Unique in the graph"),
    "suppressor": (box_suppressor("N"), "NonMaxSuppression in the graph"),
    "detector": (detector(), "NonZero in the graph"),
    "softmax": (over_the_batch("Softmax"), "its output 'y' is different for a row when other rows share the run"),
    "sum": (over_the_batch("CumSum"), "its output 'y' is different for a row"),
    "undeclared_branch": (some_rows(1e6, None), "If in the graph may change its rows"),
    "branch": (some_rows(0.5), r"its output 'y' has shape"),
    "one_row": (one_row_only(), "a run of 4 rows fails, though each of them runs alone"),
}


@pytest.mark.parametrize(("model", "why"), APART.values(), ids=APART)
def test_rows_share_no_run_of_a_graph_that_may_mix_them(model: ModelProto, why: str, tmp_path: Path) -> None:
    assert re.match(why, why_apart(tmp_path, model))


def never_runs(goes: str) -> ModelProto:
    """Fails on whatever comes: it looks up what is not in its table."""
    made = looked_up(goes)
    made.graph.node.insert(0, helper.make_node("Add", ["tokens", "far"], ["x"]))
    made.graph.input[0].name = "tokens"
    made.graph.initializer.append(helper.make_tensor("far", TensorProto.INT64, [], [1000]))
    return made


def test_a_graph_that_runs_on_no_random_rows_is_believed_what_it_declares(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert why_apart(tmp_path, never_runs("M")).startswith("no random rows could be run")
    with caplog.at_level(logging.WARNING):
        assert why_apart(tmp_path, never_runs("N")) == ""
    assert "no random rows could be run to test" in caplog.text


def test_a_slow_graph_is_tried_with_one_kind_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_probe, "PROBE_S", -1.0)
    assert why_apart(tmp_path, over_the_batch("Softmax")) != ""
    assert why_apart(tmp_path, adder((None, 4))) == ""
