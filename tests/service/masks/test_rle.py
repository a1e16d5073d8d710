"""Run-length encoding, as pycocotools reads and writes it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from service.errors import InvalidArgument
from service.masks.rle import encode
from tests.service.masks.shapes import blobs, masks


def theirs(mask: NDArray[Any]) -> str:
    text = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    assert isinstance(text, bytes)
    return text.decode()


@given(masks())
def test_the_text_is_that_of_pycocotools(mask: NDArray[np.bool_]) -> None:
    (ours,) = encode(mask)

    assert ours.text == theirs(mask)
    assert ours.counts.sum() == mask.size


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_each_label_is_encoded_as_its_own_mask(seed: int, classes: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, (7, 5), dtype="u1")

    for value, found in enumerate(encode(labels, range(classes + 1))):
        assert found.text == theirs(labels == value)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11, numpy 2.4
def test_a_large_mask_is_read_back_equal() -> None:
    mask = blobs(480, 640)
    (ours,) = encode(mask)

    back = coco.decode({"size": [ours.height, ours.width], "counts": ours.text.encode()})

    np.testing.assert_array_equal(back, mask)


def test_counts_of_many_digits_are_written_as_pycocotools_does() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[1, 3999] = True

    assert encode(mask)[0].text == theirs(mask)


def test_the_counts_begin_with_the_pixels_that_are_not_in_the_mask() -> None:
    assert encode(np.array([[True, False], [True, True]]))[0].counts.tolist() == [0, 2, 1, 1]
    assert encode(np.zeros((2, 3), bool))[0].counts.tolist() == [6]


def test_noise_with_too_many_runs_is_refused() -> None:
    board = np.indices((10, 10)).sum(0) % 2

    with pytest.raises(InvalidArgument, match="the mask has 91 runs of equal pixels; at most 90 are encoded"):
        encode(board, most_runs=90)
    assert len(encode(board, most_runs=91)[0].counts) == 91
