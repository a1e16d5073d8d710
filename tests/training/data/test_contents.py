import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.class_folders import ImageFile
from training.data.contents import Contents, choose_test, describe_repeats
from training.errors import DataError

LABELS = ("a", "b")
contents_of = st.lists(st.integers(0, 200), min_size=2, max_size=80, unique=True)


def files(label: int, numbers: list[int], name: str = "") -> Contents:
    """A file for each number, whose content is the number."""
    return tuple(
        (ImageFile(Path(f"{name}{n}"), f"{LABELS[label]}/{name}{n}", label), hashlib.sha256(b"%d" % n).hexdigest())
        for n in numbers
    )


def contents(split: Contents) -> set[str]:
    return {content for _, content in split}


@given(contents_of, contents_of)
def test_every_file_is_on_one_side_and_every_class_on_both(a: list[int], b: list[int]) -> None:
    whole = files(0, a) + files(1, [1000 + n for n in b])
    training, test = choose_test(whole, LABELS)
    assert sorted(training + test, key=whole.index) == list(whole)
    for split in (training, test):
        assert {file.label for file, _ in split} == {0, 1}


def test_about_the_share_is_test() -> None:
    training, test = choose_test(files(0, list(range(5000))) + files(1, [6000, 6001]), LABELS)
    assert len(test) / (len(training) + len(test)) == pytest.approx(0.15, abs=0.01)


@given(contents_of)
def test_names_and_order_have_no_say(numbers: list[int]) -> None:
    other = files(1, [1000, 1001])
    _, test = choose_test(files(0, numbers) + other, LABELS)
    _, renamed = choose_test(other + files(0, numbers[::-1], "new"), LABELS)
    assert contents(test) == contents(renamed)


def test_a_file_stays_on_its_side_when_others_are_added() -> None:
    few, many = (choose_test(files(0, list(range(n))) + files(1, [8000, 8001]), LABELS) for n in (100, 1000))
    assert contents(few[0]) <= contents(many[0])
    assert contents(few[1]) <= contents(many[1])


def test_copies_of_an_image_lie_on_one_side() -> None:
    numbers = list(range(50))
    training, test = choose_test(files(0, numbers) + files(0, numbers, "copy") + files(1, [60, 61]), LABELS)
    assert contents(training).isdisjoint(contents(test))
    assert not list(describe_repeats(training, (), test))


@pytest.mark.parametrize("count", [1, 3])
def test_a_class_of_one_image_however_often_is_refused(count: int) -> None:
    same = tuple(pair for name in "xyz"[:count] for pair in files(1, [7], name))
    with pytest.raises(DataError, match="class 'b' has 1 image; it needs two different ones"):
        choose_test(files(0, [1, 2]) + same, LABELS)


def test_images_both_trained_on_and_measured_are_counted() -> None:
    found = list(describe_repeats(files(0, [1, 2, 3]), files(0, [3, 4]), files(0, [1, 2, 9], "copy")))
    assert found == [
        "1 of 2 validation images are also training images: the validation accuracy is too high",
        "2 of 3 test images are also training images: the test accuracy is too high",
    ]


def test_images_of_two_classes_are_counted() -> None:
    assert list(describe_repeats(files(0, [1, 2]) + files(1, [2, 3]), (), ())) == [
        "1 images are in more than one class"
    ]
