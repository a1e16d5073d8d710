"""Tensors as bytes and as lists: what is read is what was written, and nothing else is read."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.engine.tensors import DTYPES
from service.errors import InvalidArgument
from service.surfaces.oip.infer_messages import InferInput, InferRequest, RequestedOutput
from service.surfaces.oip.tensors import listed_tensor, raw_tensor

SHAPES = st.lists(st.integers(0, 4), max_size=4)
NUMBERS = [name for name in DTYPES if name != "BYTES"]
LISTED = [name for name in NUMBERS if name != "FP16"]


@st.composite
def arrays(draw: st.DrawFn, datatypes: Sequence[str]) -> tuple[str, NDArray[Any]]:
    """A datatype and an array of any bits it may have."""
    datatype = draw(st.sampled_from(datatypes))
    dtype = DTYPES[datatype]  # type: ignore[index]  # drawn from its keys
    shape = draw(SHAPES)
    size = prod(shape) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if datatype == "BOOL":
        data = bytes(byte & 1 for byte in data)
    return datatype, np.frombuffer(data, dtype).reshape(shape)


@given(arrays(NUMBERS))
def test_bytes_are_read_bit_for_bit(drawn: tuple[str, NDArray[Any]]) -> None:
    datatype, array = drawn
    found = raw_tensor("x", datatype, array.shape, array.tobytes())
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


@given(arrays(LISTED))
def test_nested_and_flat_lists_are_read_as_the_same_numbers(drawn: tuple[str, NDArray[Any]]) -> None:
    datatype, array = drawn
    for values in (array.ravel().tolist(), array.tolist() if array.shape else [array.item()]):
        found = listed_tensor("x", datatype, array.shape, values)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)


def test_bytes_are_read_in_place() -> None:
    data = bytes(16)
    assert np.shares_memory(raw_tensor("x", "FP32", [4], data), np.frombuffer(data, "u1"))


def test_whole_numbers_are_floats_where_floats_are_wanted() -> None:
    np.testing.assert_array_equal(listed_tensor("x", "FP32", [3], [1, 2.5, -3]), np.array([1, 2.5, -3], "f4"))


def test_infinities_are_floats() -> None:
    np.testing.assert_array_equal(listed_tensor("x", "FP32", [2], [np.inf, -np.inf]), np.array([np.inf, -np.inf], "f4"))


@pytest.mark.parametrize(
    ("datatype", "values", "words"),
    [
        ("UINT8", [-1, 256], r"elements -1 to 256; UINT8 holds 0 to 255"),
        ("INT64", [1 << 63], r"elements 9223372036854775808 to .*; INT64 holds"),
        ("FP32", [1e300], r"elements 1e\+300 to 1e\+300; FP32 holds -3\.4028"),
        ("FP32", [1 << 200], r"; FP32 holds"),
        ("UINT8", [1.0], r"data holds float; UINT8 allows int"),
        ("UINT8", [1, True], r"data holds bool; UINT8 allows int"),
        ("BOOL", [1], r"data holds int; BOOL allows bool"),
        ("FP64", [None], r"data holds NoneType; FP64 allows float"),
        ("FP64", ["1"], r"data holds str; FP64 allows float"),
        ("FP64", [{}], r"data holds dict; FP64 allows float"),
        ("FP64", [1.0, [1.0]], r"data holds list; FP64 allows float"),
        ("FP64", [[1.0], 1.0], r"data is ragged"),
        ("FP64", [[1.0], [1.0, 2.0]], r"data is ragged"),
        ("FP64", [[[1.0]], [1.0]], r"data holds list|data is ragged"),
        ("FP64", [[[[[[[[[1.0]]]]]]]]], r"nested deeper than the 8"),
        ("BYTES", [1], r"data holds int; BYTES allows str"),
        ("STRING", ["a"], r"datatype is 'STRING'; allowed are BOOL, .*, BYTES"),
        ("FP16", [1.0], r"FP16 has no JSON or protobuf form"),
    ],
)
def test_elements_that_are_not_of_the_datatype_are_refused(datatype: str, values: list[Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^input 'x'" + f".*({words})"):
        listed_tensor("x", datatype, [np.size(np.array(values, object))], values)


@pytest.mark.parametrize(("read", "form"), [(raw_tensor, bytes), (listed_tensor, list)])
@given(shape=st.lists(st.integers(-2, 1 << 64), max_size=12), data=st.binary(max_size=8))
def test_any_shape_is_read_or_refused(
    read: Callable[..., NDArray[Any]], form: Callable[[bytes], object], shape: list[int], data: bytes
) -> None:
    refused = ""
    try:
        assert read("x", "UINT8", shape, form(data)).size == len(data)
    except InvalidArgument as error:
        refused = str(error)
    assert not refused or refused.startswith("input 'x'")
    assert len(refused) < 600


def test_a_name_short_enough_stays_itself_and_a_longer_one_is_refused() -> None:
    def named(name: str) -> InferRequest:
        image = InferInput(name, "UINT8", [1], b"x")
        return InferRequest(cast(Any, None), "", [image], [RequestedOutput(name, {})], {})

    assert list(named("x" * 128).tensors()) == list(named("x" * 128).output_names()) == ["x" * 128]
    for read in (named("x" * 129).tensors, named("x" * 129).output_names):
        with pytest.raises(InvalidArgument, match=r"an (in|out)put name has 129 characters; at most 128 are allowed"):
            read()
