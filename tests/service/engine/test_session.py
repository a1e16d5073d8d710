import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from service.engine.session import Session
from service.engine.tensors import DTYPES
from service.errors import InvalidPackage
from service.package import Datatype, Graph, TensorSpec, read_package
from tests.packages import assert_close, example, expected


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "tiny" / "1"


@pytest.fixture
def graph(folder: Path) -> Graph:
    return read_package(folder).card.graph


def changed(graph: Graph, change: Callable[[dict[str, Any]], None]) -> Graph:
    card = graph.model_dump()
    change(card)
    return Graph.model_validate(card)


def test_a_session_answers_the_outputs_asked_for_in_that_order(folder: Path, graph: Graph) -> None:
    session = Session(folder / graph.file, graph, intra_op=1)
    images = example(5)
    mean, probabilities = session.run(["mean", "probabilities"], {"image": images})
    assert_close(probabilities, expected(images))
    assert_close(mean, images.mean((1, 2), dtype="f4"))
    assert len(session.run(["mean"], {"image": images})) == 1


def test_images_that_do_not_lie_in_one_piece_are_read_right(folder: Path, graph: Graph) -> None:
    session = Session(folder / graph.file, graph, intra_op=1)
    every_second = example(10)[::2].transpose(0, 2, 1)
    [probabilities] = session.run(["probabilities"], {"image": every_second})
    assert_close(probabilities, expected(np.ascontiguousarray(every_second)))


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_of_a_card_is_known_in_a_graph(datatype: Datatype, tmp_path: Path) -> None:
    kind = helper.np_dtype_to_tensor_dtype(DTYPES[datatype])
    values = [helper.make_tensor_value_info(name, kind, ["N", 2]) for name in ("given", "same")]
    identity = helper.make_node("Identity", ["given"], ["same"])
    model = helper.make_graph([identity], "identity", values[:1], values[1:])
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "g.onnx")
    specs = [TensorSpec(name=name, datatype=datatype, shape=(-1, 2)) for name in ("given", "same")]
    graph = Graph(file="g.onnx", inputs=tuple(specs[:1]), outputs=tuple(specs[1:]), max_batch=1)
    given = np.array([[0, 1]], DTYPES[datatype])
    [same] = Session(tmp_path / "g.onnx", graph, intra_op=1).run(["same"], {"given": given})
    assert same.dtype == given.dtype
    np.testing.assert_array_equal(same, given)


LIES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "input_name": (lambda card: card["inputs"][0].update(name="picture"), "inputs are .*'image'.*'picture'"),
    "input_datatype": (lambda card: card["inputs"][0].update(datatype="FP32"), "inputs are .*'UINT8'.*'FP32'"),
    "input_shape": (lambda card: card["inputs"][0].update(shape=(-1, 28, 28)), "inputs are .*4, 4.*28, 28"),
    "input_rank": (lambda card: card["inputs"][0].update(shape=(-1, 16)), "inputs are "),
    "dimension_called_free": (lambda card: card["inputs"][0].update(shape=(-1, 4, -1)), "inputs are "),
    "one_input_more": (lambda card: card.update(inputs=card["inputs"] * 2), "inputs are "),
    "output_name": (lambda card: card["outputs"][0].update(name="logits"), "outputs are .*'probabilities'.*'logits'"),
    "output_classes": (lambda card: card["outputs"][0].update(shape=(-1, 10)), "outputs are "),
    "one_output_less": (lambda card: card.update(outputs=card["outputs"][:1]), "outputs are .*'mean'"),
    "order_of_outputs": (lambda card: card.update(outputs=card["outputs"][::-1]), "outputs are "),
}


@pytest.mark.parametrize(("lie", "message"), LIES.values(), ids=list(LIES))
def test_a_graph_other_than_the_card_describes_is_refused(
    lie: Callable[[dict[str, Any]], None], message: str, folder: Path, graph: Graph
) -> None:
    with pytest.raises(InvalidPackage, match=f"{graph.file}: the graph's {message}"):
        Session(folder / graph.file, changed(graph, lie), intra_op=1)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x0a" * 100])
def test_a_file_that_is_no_graph_is_refused_by_name(content: bytes, graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidPackage, match=r"model.onnx: ONNX Runtime cannot load it"):
        Session(tmp_path / "model.onnx", graph, intra_op=1)


def test_a_truncated_graph_is_refused_by_name(folder: Path, graph: Graph, tmp_path: Path) -> None:
    content = (folder / graph.file).read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidPackage, match=r"model.onnx: ONNX Runtime cannot load it"):
        Session(tmp_path / "model.onnx", graph, intra_op=1)


def test_onnx_runtime_is_told_to_send_no_telemetry() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
