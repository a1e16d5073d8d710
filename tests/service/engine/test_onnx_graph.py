"""Which graphs can be opened, on which device, and whether they are those of the card."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from service.engine.device import CPU_PROVIDER, CUDA_PROVIDER, Device
from service.engine.model import Model
from service.engine.session import Session
from service.engine.tensors import DTYPES
from service.errors import InvalidPackage
from service.package import Datatype, Graph, TensorSpec, read_package
from tests.packages import assert_close, example, expected
from tests.service.engine.sums import write_sums


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "tiny" / "1"


@pytest.fixture
def graph(folder: Path) -> Graph:
    return read_package(folder).classifier.graph


def changed(graph: Graph, change: Callable[[dict[str, Any]], None]) -> Graph:
    card = graph.model_dump()
    change(card)
    return Graph.model_validate(card)


class OfCuda:
    """Makes sessions as ONNX Runtime does for CUDA: they report ``provider``; without ``records`` recording fails."""

    def __init__(self, provider: str, *, records: bool = True) -> None:
        self.asked: list[dict[str, str]] = []
        self._real = ort.InferenceSession
        self._provider, self._records = provider, records

    def __call__(self, path: str, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        assert enable_fallback == 0
        self.asked.append(providers[0][1])
        if not self._records and providers[0][1]["enable_cuda_graph"] == "1":
            raise RuntimeError("not all nodes are on CUDA")
        session = self._real(path, options, providers=[CPU_PROVIDER])
        session.get_providers = lambda: [self._provider, CPU_PROVIDER]
        return session


def test_a_sessions_providers_are_those_that_have_nodes_to_run(
    folder: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Session(folder / graph.file, graph, intra_op=1).providers == (CPU_PROVIDER,)
    # As when there is CUDA, and none of the nodes of the graph is on it.
    monkeypatch.setattr(ort, "InferenceSession", OfCuda(CUDA_PROVIDER))
    assert Session(folder / graph.file, graph, 1, Device("cuda")).providers == (CPU_PROVIDER,)


def test_a_session_that_is_not_on_the_configured_device_is_refused(
    folder: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "InferenceSession", OfCuda("AnotherProvider"))
    with pytest.raises(InvalidPackage, match=r"model.onnx: the device is CUDA device 0, but .*AnotherProvider"):
        Session(folder / graph.file, graph, 1, Device("cuda"))


def test_a_graph_that_cannot_be_recorded_runs_unrecorded_and_the_log_says_why(
    folder: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = OfCuda(CUDA_PROVIDER, records=False)
    monkeypatch.setattr(ort, "InferenceSession", made)
    session = Session(folder / graph.file, graph, 1, Device("cuda", records=True))
    assert [asked["enable_cuda_graph"] for asked in made.asked] == ["1", "0"]
    assert "model.onnx: runs without CUDA graphs: not all nodes are on CUDA" in caplog.text
    assert_close(session.run(["probabilities"], {"image": example(2)})[0], expected(example(2)))


def test_a_graph_of_free_dimensions_is_never_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = OfCuda(CUDA_PROVIDER)
    package = read_package(write_sums(tmp_path))
    monkeypatch.setattr(ort, "InferenceSession", made)
    Model(package, partial(Session, intra_op=1, device=Device("cuda", records=True)))
    assert [asked["enable_cuda_graph"] for asked in made.asked] == ["0"]


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_of_a_card_is_known_in_a_graph(datatype: Datatype, tmp_path: Path) -> None:
    kind = helper.np_dtype_to_tensor_dtype(DTYPES[datatype])
    values = [helper.make_tensor_value_info(name, kind, ["N", 2]) for name in ("given", "same")]
    identity = helper.make_node("Identity", ["given"], ["same"])
    model = helper.make_graph([identity], "identity", values[:1], values[1:])
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "g.onnx")
    specs = [TensorSpec(name=name, datatype=datatype, shape=(-1, 2)) for name in ("given", "same")]
    graph = Graph(file="g.onnx", inputs=tuple(specs[:1]), outputs=tuple(specs[1:]), max_batch=1)
    given = np.array([["0", "1"] if datatype == "BYTES" else [0, 1]], DTYPES[datatype])
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
