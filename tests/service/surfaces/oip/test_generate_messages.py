from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from service.engine import Model
from service.errors import Unsupported
from service.package import Graph, TensorSpec
from service.surfaces.oip.generate_messages import GenerateAnswer, read_generate
from service.surfaces.oip.infer_messages import InferResponse


def model(given: str, wanted: str = "y", datatype: Any = "FP32", max_batch: int = 4) -> Model:
    """One that would answer its input (rows, 1)."""
    shape = (-1, 1)
    inputs, outputs = ((TensorSpec(name=name, datatype=datatype, shape=shape),) for name in (given, wanted))
    graph = Graph(file="model.onnx", inputs=inputs, outputs=outputs, max_batch=max_batch)
    return cast(Model, SimpleNamespace(name="named", version="1", program=graph))


@pytest.mark.parametrize(("given", "wanted"), [("id", "y"), ("parameters", "y"), ("x", "model_name"), ("x", "id")])
def test_a_tensor_whose_name_means_something_else_here_is_for_infer(given: str, wanted: str) -> None:
    with pytest.raises(Unsupported, match="use infer"):
        read_generate(b"{}", model(given, wanted))


@pytest.mark.parametrize("text", [b"3", b"[3]", b"[[3]]"])
def test_a_number_a_row_and_rows_of_one_number_are_the_same(text: bytes) -> None:
    found = read_generate(b'{"x": %b}' % text, model("x")).tensors()["x"]
    assert found.tolist() == [[3.0]]
    assert found.dtype == np.float32


def test_a_model_without_batches_takes_its_whole_tensor() -> None:
    assert read_generate(b'{"x": [[1], [2]]}', model("x", max_batch=0)).tensors()["x"].tolist() == [[1.0], [2.0]]


def test_half_precision_is_answered_as_numbers() -> None:
    half = model("x", datatype="FP16")
    response = InferResponse(half, "", {"y": np.array([[0.5], [65504]], "f2")})
    found = GenerateAnswer(half, "").event(response)
    assert found["y"].tolist() == [[0.5], [65504.0]]
    assert found["y"].dtype == np.float32
