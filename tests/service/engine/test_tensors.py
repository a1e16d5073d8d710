from typing import Any

import numpy as np
import pytest

from service.engine.tensors import DTYPES, check_inputs, check_outputs
from service.errors import InvalidArgument
from service.package import TensorSpec

SPECS = (
    TensorSpec(name="image", datatype="UINT8", shape=(-1, 4, 4)),
    TensorSpec(name="scale", datatype="FP32", shape=(-1, -1)),
)


def inputs(**changes: Any) -> dict[str, Any]:
    """Right inputs of three rows, but for the changes; None takes one out."""
    right = {"image": np.zeros((3, 4, 4), "u1"), "scale": np.zeros((3, 7), "f4")}
    return {name: tensor for name, tensor in {**right, **changes}.items() if tensor is not None}


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_right_inputs_are_counted_in_rows(rows: int) -> None:
    assert check_inputs("m", SPECS, {"image": np.zeros((rows, 4, 4), "u1"), "scale": np.zeros((rows, 7), "f4")}) == rows


def test_the_order_of_the_inputs_does_not_matter() -> None:
    assert check_inputs("m", SPECS, dict(reversed(inputs().items()))) == 3


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_dimension_of_minus_one_takes_any_size(size: int) -> None:
    assert check_inputs("m", SPECS, inputs(scale=np.zeros((3, size), "f4"))) == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown_name": ({"picture": np.zeros(3)}, "model 'm' has no input 'picture'.*image.*scale"),
    "missing": ({"scale": None}, "input 'scale' of model 'm' is missing"),
    "missing_all": ({"scale": None, "image": None}, "input 'image' of model 'm' is missing"),
    "datatype": ({"image": np.zeros((3, 4, 4), "f4")}, "datatype of input 'image' is FP32; model 'm' allows UINT8"),
    "same_size_other_sign": (
        {"image": np.zeros((3, 4, 4), "i1")},
        "datatype of input 'image' is INT8; model 'm' allows UINT8",
    ),
    "big_endian": ({"scale": np.zeros((3, 7), ">f4")}, "datatype of input 'scale' is >f4; model 'm' allows FP32"),
    "no_datatype_of_ours": (
        {"scale": np.zeros((3, 7), "c8")},
        "datatype of input 'scale' is complex64; model 'm' allows FP32",
    ),
    "strings": ({"image": np.full((3, 4, 4), "a")}, "datatype of input 'image' is <U1; model 'm' allows UINT8"),
    "dimension": (
        {"image": np.zeros((3, 4, 5), "u1")},
        r"shape of input 'image' is \[3, 4, 5\]; model 'm' allows \[-1, 4, 4\]",
    ),
    "rank_below": (
        {"image": np.zeros((4, 4), "u1")},
        r"shape of input 'image' is \[4, 4\]; model 'm' allows \[-1, 4, 4\]",
    ),
    "rank_above": ({"image": np.zeros((3, 4, 4, 1), "u1")}, r"shape of input 'image' is \[3, 4, 4, 1\]; model 'm'"),
    "scalar": ({"scale": np.float32(1)}, r"shape of input 'scale' is \[\]; model 'm'"),
    "no_rows": (
        {"image": np.zeros((0, 4, 4), "u1")},
        r"shape of input 'image' is \[0, 4, 4\]; model 'm' needs at least one row",
    ),
    "rows_differ": ({"scale": np.zeros((2, 7), "f4")}, "inputs have 3 and 2 rows; model 'm'"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=list(WRONG))
def test_wrong_inputs_are_refused_with_what_was_given_and_what_is_allowed(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        check_inputs("m", SPECS, inputs(**changes))


def test_requested_outputs_keep_their_order() -> None:
    assert check_outputs("m", SPECS, ("scale", "image")) == ("scale", "image")


def test_no_output_named_means_all_of_them() -> None:
    assert check_outputs("m", SPECS, ()) == ("image", "scale")


def test_an_unknown_output_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"'m' has no output 'mask'; it has \['image', 'scale'\]"):
        check_outputs("m", SPECS, ("image", "mask"))


def test_of_a_model_with_many_tensors_a_refusal_lists_the_first_few() -> None:
    specs = tuple(TensorSpec(name=f"t{i}", datatype="FP32", shape=(-1,)) for i in range(4000))
    there = r"it has \['t0', .*'t19'\] and 3980 more$"
    with pytest.raises(InvalidArgument, match=there):
        check_outputs("m", specs, ("mask",))
    with pytest.raises(InvalidArgument, match=there):
        check_inputs("m", specs, {"mask": np.zeros(1, "f4")})


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
def test_every_datatype_is_little_endian_as_the_wire_is(dtype: np.dtype[np.generic]) -> None:
    assert dtype.newbyteorder("<") == dtype
    if dtype.kind != "O":  # texts have a form of their own on the wire
        assert np.array([1], dtype).tobytes()[0] == (0 if dtype.kind == "f" else 1)
