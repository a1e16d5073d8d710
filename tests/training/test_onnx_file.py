from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from models.registry import VARIANTS, build
from tests.training.tiny import digits
from training.errors import ExportError
from training.export import BATCHES
from training.graph import Served
from training.onnx_file import INPUT, OUTPUT, parity, write_onnx

# Those that this room trains so far: grey digits, ten classes.
DIGIT_MODELS = [n for n, v in VARIANTS.items() if v.input_shape == (1, 28, 28) and v.config.get("classes") == 10]
every_variant = pytest.mark.parametrize("name", DIGIT_MODELS)


def served(name: str) -> Served:
    torch.manual_seed(0)
    return Served(build(name), 0.1307, 0.3081)


@every_variant
def test_the_file_computes_what_torch_does_at_every_batch_size(name: str, tmp_path: Path) -> None:
    model, path = served(name), tmp_path / "model.onnx"
    write_onnx(model, 28, 28, path)
    differences = parity(path, model, digits()[0], BATCHES)
    assert list(differences) == ["1", "3", "64"]
    assert max(differences.values()) <= 1e-5


@every_variant
def test_the_file_is_whole_takes_any_batch_and_tells_nothing_of_its_machine(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(served(name), 28, 28, path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found_in,), (found_out,) = session.get_inputs(), session.get_outputs()
    assert (found_in.name, found_in.type, found_in.shape) == (INPUT, "tensor(uint8)", ["batch", 28, 28])
    assert (found_out.name, found_out.type, found_out.shape) == (OUTPUT, "tensor(float)", ["batch", 10])
    content = without_weights(path).SerializeToString()
    for telling in (b".py", b"stack_trace", b"site-packages", b"namespace", str(Path.cwd()).encode()):
        assert telling not in content


def without_weights(path: Path) -> onnx.ModelProto:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    return model


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_onnx(served("lenet5"), 28, 28, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_weights_than_torchs_break_parity(tmp_path: Path) -> None:
    model, path = served("softmax"), tmp_path / "model.onnx"
    write_onnx(model, 28, 28, path)
    with torch.no_grad():
        model.model.get_parameter("scores.bias")[0] += 1e-3
    with pytest.raises(ExportError, match=r"parity, batch 1: differs from torch by .*, over 1e-05"):
        parity(path, model, digits()[0], BATCHES)


def test_a_graph_that_answers_nan_breaks_parity(tmp_path: Path) -> None:
    model, path = served("softmax"), tmp_path / "model.onnx"
    write_onnx(model, 28, 28, path)
    weights = onnx.load(path)
    (bias,) = (t for t in weights.graph.initializer if t.name.endswith("bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))
    onnx.save(weights, path)
    with pytest.raises(ExportError, match="differs from torch by nan"):
        parity(path, model, digits()[0], BATCHES)
