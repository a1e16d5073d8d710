import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.training.tiny import digits, idx
from training.data import Bytes
from training.data.idx import parse_idx
from training.errors import DataError

arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


@given(arrays)
def test_what_was_written_is_read(array: Bytes) -> None:
    found = parse_idx(idx(array), "a")
    assert found.shape == array.shape
    assert (found == array).all()


@given(arrays, st.data())
def test_a_file_cut_anywhere_is_refused(array: Bytes, data: st.DataObject) -> None:
    whole = idx(array)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DataError, match="images"):
        parse_idx(whole[:length], "images")


def test_real_digits_cut_short_are_refused_with_both_lengths() -> None:
    images, _ = digits()
    with pytest.raises(DataError, match=r"images: has 235199 bytes of data; .*\(300, 28, 28\), which is 235200"):
        parse_idx(idx(images)[:-1], "images")


def test_bytes_after_the_data_are_refused() -> None:
    with pytest.raises(DataError, match="3 bytes of data"):
        parse_idx(idx(np.zeros(2, np.uint8)) + b"x", "labels")


def test_another_type_than_unsigned_bytes_is_refused() -> None:
    with pytest.raises(DataError, match="idx type is 0x0d"):
        parse_idx(bytes((0, 0, 0x0D, 1)) + struct.pack(">If", 1, 0.5), "floats")


def test_another_format_is_refused() -> None:
    with pytest.raises(DataError, match="page: not an idx file"):
        parse_idx(b"<html>not found</html>", "page")


def test_a_header_that_promises_more_than_memory_is_refused_at_once() -> None:
    with pytest.raises(DataError, match="0 bytes of data"):
        parse_idx(bytes((0, 0, 8, 4)) + struct.pack(">4I", *(2**32 - 1,) * 4), "bomb")
