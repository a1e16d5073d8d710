import pytest
from pydantic import ValidationError

from service.package import Graph, TensorSpec
from service.package.graph import find


def graph(max_batch: int, *shape: int) -> Graph:
    """One input and one output of that shape."""
    tensors = tuple(TensorSpec(name=name, datatype="FP32", shape=shape) for name in ("x", "y"))
    return Graph(file="model.onnx", inputs=tensors[:1], outputs=tensors[1:], max_batch=max_batch)


@pytest.mark.parametrize(
    ("max_batch", "shape"), [(8, (-1, 3)), (1, (-1, 3)), (1, (1, 3)), (0, (3,)), (0, ()), (0, (-1, -1)), (0, (5, -1))]
)
def test_the_first_dimension_is_the_batch_where_there_is_one(max_batch: int, shape: tuple[int, ...]) -> None:
    assert graph(max_batch, *shape).files == ("model.onnx",)


@pytest.mark.parametrize(("max_batch", "shape"), [(8, ()), (8, (1, 3)), (8, (8, 3)), (1, (3,)), (1, ())])
def test_any_other_first_dimension_is_refused(max_batch: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match=r"'x' is .*; its first dimension is the batch, -1"):
        graph(max_batch, *shape)


def test_a_negative_batch_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_batch"):
        graph(-1, -1)


def test_a_tensor_is_found_by_its_name() -> None:
    tensors = graph(1, -1).inputs
    assert find(tensors, "x", "here") is tensors[0]
    with pytest.raises(ValueError, match=r"^here is 'z'; the graph has \['x'\]$"):
        find(tensors, "z", "here")
