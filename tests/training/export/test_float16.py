from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from models.classification.rows import build
from tests.training.loaded import loaded
from training.classification.graph import Served
from training.classification.served_file import to_onnx
from training.errors import ExportError
from training.export.float16 import round_weights, store_float16
from training.export.folding import fold_normalisation
from training.export.onnx_file import save


def matmul(*weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> onnx.ModelProto:
    """x W1 W2 ..."""
    nodes, tensors, at = [], [], "x"
    for index, weight in enumerate(weights):
        tensors.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [at, f"w{index}"], [f"y{index}"]))
        at = f"y{index}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", weights[0].shape[0]])],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, ["b", weights[-1].shape[1]])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_only_large_tensors_that_lose_nothing_are_stored_in_16_bits(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    exact = generator.normal(size=(16, 16)).astype(np.float16).astype(np.float32)
    inexact, small = generator.normal(size=(16, 16)).astype(np.float32), np.ones((16, 15), np.float32)
    before, after = matmul(exact, inexact, small), matmul(exact, inexact, small)
    store_float16(after)
    kinds = {tensor.name: tensor.data_type for tensor in after.graph.initializer}
    assert kinds == {"w0_float16": TensorProto.FLOAT16, "w1": TensorProto.FLOAT, "w2": TensorProto.FLOAT}
    save(after, tmp_path / "after.onnx")
    x = generator.normal(size=(3, 16)).astype(np.float32)
    found, wanted = (ort.InferenceSession(m.SerializeToString()).run(None, {"x": x})[0] for m in (after, before))
    assert (found == wanted).all()


def test_a_number_too_large_for_16_bits_is_kept_in_32() -> None:
    weight = np.full((16, 16), 65_536.0, np.float32)
    model = matmul(weight)
    store_float16(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["w0"]


def test_matrices_are_rounded_and_vectors_are_not() -> None:
    model = build("lenet5")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.full_like(parameter, 1 / 3))
    round_weights(model)
    for parameter in model.parameters():
        wanted = 0.333251953125 if parameter.ndim >= 2 else float(torch.tensor(1 / 3))
        assert set(parameter.flatten().tolist()) == {wanted}


@pytest.mark.parametrize("value", [70_000.0, float("nan"), float("-inf")])
def test_weights_that_are_no_float16_are_refused_by_name(value: float) -> None:
    model = build("softmax")
    with torch.no_grad():
        model.get_parameter("scores.weight")[3, 5] = value
    with pytest.raises(ExportError, match=r"scores\.weight has a value of .*; float16 allows up to 65,504"):
        round_weights(model)


@pytest.mark.export
def test_the_file_is_half_as_large_and_its_session_casts_nothing_at_run_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = fold_normalisation(build("vgg7-28"))
    round_weights(model)
    whole = to_onnx(Served(model, (0.5,), (0.5,)), (28, 28))
    save(whole, tmp_path / "float32.onnx")
    store_float16(whole)
    save(whole, tmp_path / "float16.onnx")
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("float16", "float32")]
    assert 0.5 < sizes[0] / sizes[1] < 0.52
    assert loaded(tmp_path / "float16.onnx") == loaded(tmp_path / "float32.onnx")
