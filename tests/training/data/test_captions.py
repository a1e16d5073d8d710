import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import CaptionSplit
from training.data.captions import normalise


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            "A black dog is running after a white dog in the snow .",
            "a black dog is running after a white dog in the snow",
        ),
        ("The man 's hat, and the dogs' tails !", "the mans hat and the dogs tails"),
        ('A T-shirt that says "Go\'s 1st"', "a t shirt that says gos 1st"),
        ("Boy\u2019s caf\u00e9 under_way", "boys caf\u00e9 under way"),
        ("A dog called 'Rex' runs", "a dog called rex runs"),
        (" . ", ""),
    ],
)
def test_words_are_letters_and_digits_in_lower_case(written: str, words: str) -> None:
    assert normalise(written) == words


@given(st.text())
def test_normalising_twice_changes_nothing_more(written: str) -> None:
    words = normalise(written)
    assert normalise(words) == words
    assert words.split(" ") == words.split() or words == ""


def test_rows_of_a_split_keep_images_and_captions_together() -> None:
    split = CaptionSplit(np.arange(3, dtype=np.uint8).reshape(3, 1, 1), (("a",), ("b", "bb"), ("c",)))
    chosen = split[np.array([2, 1])]
    assert chosen.images.ravel().tolist() == [2, 1]
    assert chosen.captions == (("c",), ("b", "bb"))
    assert len(chosen) == 2
