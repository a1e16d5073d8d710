"""What a graph without a card says of itself."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from service.engine.onnx_graph import open_graph
from service.engine.signature import read_signature, zeros
from service.errors import InvalidPackage
from service.package import TensorSpec
from service.package.bare import Signature
from tests.bare_packages import Dims, adder, detector, graph, text_echo


def read(folder: Path, model: ModelProto) -> Signature:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return read_signature(folder / "model.onnx", open_graph(folder / "model.onnx", 1))


def spec(name: str, shape: tuple[int, ...], datatype: str = "FP32") -> TensorSpec:
    return TensorSpec.model_validate({"name": name, "datatype": datatype, "shape": shape})


@pytest.mark.parametrize(
    ("dims", "shape"), [(("N", 4), (-1, 4)), ((None, 4), (-1, 4)), ((1, 4), (1, 4)), ((3,), (3,)), ((), ())]
)
def test_tensors_are_read_from_the_graph(dims: Dims, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = read(tmp_path, adder(dims))
    assert (found.inputs, found.outputs) == ((spec("x", shape),), (spec("y", shape),))


def test_strings_are_bytes_of_any_length(tmp_path: Path) -> None:
    found = read(tmp_path, text_echo(("N", 2)))
    assert found == Signature((spec("x", (-1, 2), "BYTES"),), (spec("y", (-1, 2), "BYTES"),))
    assert zeros(found.inputs, 2)["x"].tolist() == [["", ""], ["", ""]]


def test_every_datatype_is_called_as_the_protocol_calls_it(tmp_path: Path) -> None:
    for kind, wanted in ((TensorProto.DOUBLE, "FP64"), (TensorProto.INT64, "INT64"), (TensorProto.FLOAT16, "FP16")):
        assert read(tmp_path, adder(datatype=kind)).inputs == (spec("x", (-1, 4), wanted),)


def test_a_datatype_that_is_not_served_is_named(tmp_path: Path) -> None:
    model = graph([helper.make_node("Identity", ["x"], ["y"])], ("N",), ("N",), TensorProto.BFLOAT16)
    with pytest.raises(InvalidPackage, match=r"tensor 'x' is tensor\(bfloat16\); allowed are BOOL"):
        read(tmp_path, model)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x0a" * 100])
def test_what_is_no_graph_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidPackage, match=r"model.onnx: ONNX Runtime cannot load it"):
        open_graph(tmp_path / "model.onnx", 1)


def test_a_graph_whose_rows_are_too_large_to_try_is_refused_untried(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match=r"inputs of 2 rows take 80000000000 bytes; at most \d+ are allowed"):
        read(tmp_path, adder(("N", 100_000, 100_000)))


def test_why_rows_stay_apart_is_asked_where_every_first_dimension_is_free(tmp_path: Path) -> None:
    assert "NonZero" in read(tmp_path, detector()).stay_apart
    assert not read(tmp_path, adder()).stay_apart
    assert not read(tmp_path, adder((3, "N"))).stay_apart


def test_zeros_have_the_rows_asked_for_and_one_of_whatever_else_is_free() -> None:
    made = zeros([spec("a", (-1, 3, -1)), spec("b", (2, -1)), spec("c", ()), spec("d", (-1,), "INT64")], 5)
    assert {name: (array.shape, array.dtype) for name, array in made.items()} == {
        "a": ((5, 3, 1), np.dtype("f4")),
        "b": ((2, 1), np.dtype("f4")),
        "c": ((), np.dtype("f4")),
        "d": ((5,), np.dtype("i8")),
    }
