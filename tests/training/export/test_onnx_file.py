from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from models.classification.rows import find
from models.variant import Variant
from tests.models.rows import FAMILIES, each, seasoned
from tests.training.tiny import digits
from training.classification.graph import IMAGE, Served
from training.classification.served_file import to_onnx
from training.data import Bytes
from training.errors import ExportError
from training.export.onnx_file import check_parity, differences, save

pytestmark = pytest.mark.export

BATCHES = (1, 3, 64)


def served(variant: Variant) -> Served:
    channels = variant.input_shape[0]
    return Served(seasoned(variant), (0.1307,) * channels, (0.3081,) * channels)


def images(variant: Variant) -> Bytes:
    channels, height, width = variant.input_shape
    grey = np.pad(digits()[0], ((0, 0), (0, height - 28), (0, width - 28)))
    return grey if channels == 1 else np.stack((grey, 255 - grey, grey // 2), axis=-1)


@pytest.mark.slow
@each(FAMILIES)
def test_the_file_of_a_family_computes_what_torch_does_at_every_batch_size(variant: Variant, tmp_path: Path) -> None:
    model, path, rows = served(variant), tmp_path / "model.onnx", images(variant)
    save(to_onnx(model, rows.shape[1:]), path)
    found = differences(path, model, {IMAGE: rows}, BATCHES)
    assert list(found) == ["1", "3", "64"]
    check_parity(found)


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_the_file_is_whole_takes_any_batch_and_tells_nothing_of_its_machine(name: str, tmp_path: Path) -> None:
    variant, path = find(name), tmp_path / "model.onnx"
    model = served(variant)
    save(to_onnx(model, images(variant).shape[1:]), path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.get_inputs()
    assert (found.name, found.type, found.shape) == (IMAGE, "tensor(uint8)", ["batch", *images(variant).shape[1:]])
    width = {"lenet5": 84, "resnet20": 64}[name]
    shapes = {"probabilities": ["batch", 10], "cam": ["batch", 10, 8, 8], "embedding": ["batch", width]}
    assert {out.name: out.shape for out in session.get_outputs()} == {name: shapes[name] for name in model.outputs}
    content = without_weights(path).SerializeToString()
    for telling in (b".py", b"stack_trace", b"site-packages", b"namespace", str(Path.cwd()).encode()):
        assert telling not in content


def test_normalisation_is_folded_into_plain_convolutions(tmp_path: Path) -> None:
    variant, path = find("resnet20"), tmp_path / "model.onnx"
    save(to_onnx(served(variant), images(variant).shape[1:]), path)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert not kinds & {"BatchNormalization", "Gather", "Shape", "Range"}


def without_weights(path: Path) -> onnx.ModelProto:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    return model


@pytest.mark.usefixtures("traced_anew")
def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(to_onnx(served(find("lenet5")), (28, 28)), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_weights_than_torchs_break_parity(tmp_path: Path) -> None:
    model, path = served(find("softmax")), tmp_path / "model.onnx"
    save(to_onnx(model, (28, 28)), path)
    with torch.no_grad():
        model.model.get_parameter("scores.bias")[:5] += 1e-2
    with pytest.raises(ExportError, match=r"parity, batch 1: differs from torch by .*; at most 1e-05 is allowed"):
        check_parity(differences(path, model, {IMAGE: digits()[0]}, BATCHES))


@pytest.mark.parametrize(
    ("name", "output"), [("resnet20-28", "cam"), ("resnet20-28", "embedding"), ("mlp", "embedding")]
)
def test_other_maps_or_features_than_torchs_break_parity(name: str, output: str, tmp_path: Path) -> None:
    variant, path = find(name), tmp_path / "model.onnx"
    model = served(variant)
    save(to_onnx(model, (28, 28)), path)
    content = onnx.load(path)
    (maker,) = (node for node in content.graph.node if output in node.output)
    maker.output[0] = "before"
    for node in content.graph.node:
        node.input[:] = ["before" if each == output else each for each in node.input]
    content.graph.node.append(onnx.helper.make_node("Neg", ["before"], [output]))
    onnx.save(content, path)
    with pytest.raises(ExportError, match="parity, batch 1: differs"):
        check_parity(differences(path, model, {IMAGE: digits()[0]}, (1,)))


def test_a_graph_that_answers_nan_breaks_parity(tmp_path: Path) -> None:
    model, path = served(find("softmax")), tmp_path / "model.onnx"
    save(to_onnx(model, (28, 28)), path)
    weights = onnx.load(path)
    (bias,) = (t for t in weights.graph.initializer if t.name.endswith("bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))
    onnx.save(weights, path)
    with pytest.raises(ExportError, match="differs from torch by nan"):
        check_parity(differences(path, model, {IMAGE: digits()[0]}, BATCHES))
