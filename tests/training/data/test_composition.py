import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import Tiny, digits
from training.data import Split, cut, summary


def made(*counts: int, start: int = 0) -> Split:
    """So many examples of each label, no two images the same."""
    labels = np.repeat(np.arange(len(counts)), counts)
    numbers = np.arange(start, start + len(labels), dtype="<u4")
    return Split(numbers.view(np.uint8).reshape(-1, 2, 2), labels)


def test_the_labels_of_each_split_are_counted(tiny: Tiny) -> None:
    training, validation = cut(tiny.source, validation=50, seed=0)
    found = summary(tiny.source.labels, {"training": training, "validation": validation, "test": tiny.source.test()})
    assert [sum(counts) for counts in found.counts.values()] == [170, 50, 80]
    assert np.sum(list(found.counts.values()), axis=0).tolist() == [30] * 10
    assert found.counts["test"] == (8,) * 10
    assert found.words() == ["170 training, 50 validation, 80 test images of 10 classes"]


def test_a_textbook_table_has_its_textbook_chi_square() -> None:
    # Observed 30, 10 and 20, 40: expected 20, 20 and 30, 30, so 5 + 5 + 10/3 + 10/3; the tail of one degree by erfc.
    found = summary("ab", {"training": made(30, 10), "validation": made(20, 40, start=100)})
    assert found.chi_square == pytest.approx(50 / 3)
    assert found.degrees == 1
    assert found.p_value == pytest.approx(4.4554e-05, rel=1e-3)
    assert found.cramers_v == pytest.approx((50 / 3 / 100) ** 0.5)
    assert found.unrepresentative


def test_a_split_by_class_is_unrepresentative_and_the_words_say_so() -> None:
    found = summary("abc", {"training": made(90, 90, 0), "validation": made(0, 0, 60, start=500)})
    assert found.cramers_v == pytest.approx(1)
    assert found.missing == {"training": ["c"], "validation": ["a", "b"]}
    words = found.words()
    assert words[1:3] == ["no training image of c", "no validation image of a, b"]
    assert words[3].startswith("unrepresentative split: the classes' shares differ between training and validation")


def test_few_examples_by_chance_and_many_nearly_alike_are_representative() -> None:
    assert not summary("ab", {"training": made(3, 1), "validation": made(1, 2, start=9)}).unrepresentative
    many = summary("ab", {"training": made(50_000, 50_000), "validation": made(10_300, 9_700, start=1 << 20)})
    assert many.p_value < 0.001
    assert not many.unrepresentative


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(1, 5))
def test_equal_shares_do_not_differ_whatever_they_are(counts: list[int], times: int) -> None:
    splits = {"training": made(*(times * c for c in counts)), "validation": made(*counts, start=1 << 20)}
    found = summary("abcdef"[: len(counts)], splits)
    assert found.chi_square == pytest.approx(0, abs=1e-6)
    assert found.p_value == pytest.approx(1)
    assert found.cramers_v == pytest.approx(0, abs=1e-6)


def test_images_of_the_first_split_in_a_later_one_are_counted() -> None:
    images, labels = digits()
    splits = {"training": Split(images[:200], labels[:200]), "validation": Split(images[190:], labels[190:])}
    found = summary(tuple("0123456789"), splits)
    assert found.shared == 10
    assert found.words()[-1] == "10 validation images are also training images"
