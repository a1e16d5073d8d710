from itertools import combinations

import numpy as np
import pytest

from tests.training.tiny import digits
from training.data import Split
from training.data.scene_grammar import DIGITS, describe, named_digits
from training.data.scenes import INK, MAX_OVERLAP, Scene, Scenes
from training.errors import DataError

EXPECTED = ["a one right of three nines", "a two below a four", "a four right of a six"]
FIRST_BOXES = ((51, 19, 58, 41), (37, 39, 50, 60), (34, 4, 53, 25), (15, 31, 29, 55))


@pytest.fixture(scope="module")
def pool() -> Split:
    return Split(*digits())


@pytest.fixture(scope="module")
def drawn(pool: Split) -> list[Scene]:
    return list(Scenes(pool, "training 0", 400))


def same(one: Scene, other: Scene) -> bool:
    return (one.image == other.image).all() and (one.words, one.boxes) == (other.words, other.boxes)


def test_a_scene_is_a_function_of_key_and_number(pool: Split, drawn: list[Scene]) -> None:
    again = Scenes(pool, "training 0", 9)
    assert all(same(again[number], drawn[number]) for number in (8, 3, 0))
    assert sum(same(one, other) for one, other in zip(Scenes(pool, "training 1", 50), drawn, strict=False)) == 0
    assert not same(drawn[0], drawn[1])


def test_a_scene_stays_what_it_was_when_python_or_numpy_change(drawn: list[Scene]) -> None:
    assert [scene.caption for scene in drawn[:3]] == EXPECTED
    assert drawn[0].boxes == FIRST_BOXES


def test_there_are_as_many_as_were_asked_for(pool: Split) -> None:
    scenes = Scenes(pool, "test 0", 3)
    assert len(scenes) == len(list(scenes)) == 3
    for number in (3, -1):
        with pytest.raises(IndexError, match=f"scene {number} of 3"):
            scenes[number]


def test_an_image_is_grey_and_its_mask_says_which_digit_each_pixel_is(drawn: list[Scene]) -> None:
    for scene in drawn:
        assert scene.image.shape == scene.mask.shape == scene.instances.shape == (64, 64)
        assert scene.image.dtype == scene.mask.dtype == scene.instances.dtype == np.uint8
        for number, (digit, (left, top, right, bottom)) in enumerate(zip(scene.digits, scene.boxes, strict=True), 1):
            ys, xs = np.nonzero(scene.instances == number)
            assert (scene.mask[ys, xs] == digit + 1).all()
            assert left <= xs.min() <= xs.max() < right
            assert top <= ys.min() <= ys.max() < bottom
            assert len(ys) > 10
        assert (scene.image[scene.mask > 0] >= INK).all()
        assert set(np.unique(scene.mask)) == {0, *(digit + 1 for digit in scene.digits)}


def test_a_digit_fills_its_box(drawn: list[Scene]) -> None:
    alone = [scene for scene in drawn if len(scene.digits) == 1]
    assert len(alone) > 20
    for scene in alone:
        (left, top, right, bottom) = scene.boxes[0]
        ys, xs = np.nonzero(scene.mask)
        assert max(xs.min() - left, right - 1 - xs.max(), ys.min() - top, bottom - 1 - ys.max()) <= 3


def test_a_pasted_digit_looks_like_the_one_it_was_made_of(pool: Split) -> None:
    sevens = Split(np.repeat(pool.images[pool.labels == 7][:1], 10, 0), np.arange(10))
    ink = sevens.images[0]
    ys, xs = np.nonzero(ink)
    crop = ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] / 255
    scene = next(scene for scene in Scenes(sevens, "key", 99) if len(scene.digits) == 1)
    left, top, right, bottom = scene.boxes[0]
    shown = np.where(scene.mask > 0, scene.image, 0)[top:bottom, left:right] / 255
    rows = np.linspace(0, len(crop) - 1, bottom - top).round().astype(int)
    columns = np.linspace(0, crop.shape[1] - 1, right - left).round().astype(int)
    assert np.corrcoef(shown.ravel(), crop[np.ix_(rows, columns)].ravel())[0, 1] > 0.8


def test_where_digits_cross_the_brighter_one_is_seen() -> None:
    levels = np.where(np.arange(10) % 2, 255, 100).astype(np.uint8)  # odd ones are bright
    blocks = Split(np.zeros((10, 28, 28), np.uint8), np.arange(10))
    blocks.images[:, 4:24, 4:24] = levels[:, None, None]
    crossing = 0
    for scene in Scenes(blocks, "key", 60):
        assert (scene.mask[scene.image == 255] % 2 == 0).all()  # a digit's value and 1
        covers = [scene.region([place]) for place in range(len(scene.digits))]
        crossing += any((one & other).any() for one, other in combinations(covers, 2))
    assert crossing > 10


def test_boxes_lie_on_the_canvas_and_hide_little_of_each_other(drawn: list[Scene]) -> None:
    crossing = 0
    for scene in drawn:
        for left, top, right, bottom in scene.boxes:
            assert 0 <= left < right <= 64
            assert 0 <= top < bottom <= 64
        covers = [scene.region([place]) for place in range(len(scene.digits))]
        for one, other in combinations(covers, 2):
            share = (one & other).sum() / min(one.sum(), other.sum())
            assert share <= MAX_OVERLAP
            crossing += share > 0
    assert crossing > 40


def test_the_caption_is_what_the_grammar_says_of_the_boxes(drawn: list[Scene]) -> None:
    for scene in drawn:
        centres = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in scene.boxes]
        assert scene.words == describe(scene.digits, centres)
        assert scene.caption.split() == list(scene.words)


def test_every_kind_of_caption_is_drawn(drawn: list[Scene]) -> None:
    captions = " ".join(scene.caption for scene in drawn)
    for phrase in ("left of", "right of", "above", "below", "in a row", "in a column", "in the middle", "at the top"):
        assert captions.count(phrase) >= 3, phrase
    assert {len(scene.digits) for scene in drawn} == {1, 2, 3, 4}
    assert {digit for scene in drawn for digit in scene.digits} == set(range(10))


def test_a_word_names_all_digits_of_its_value(drawn: list[Scene]) -> None:
    for scene in drawn:
        for places, digit in zip(scene.named, named_digits(scene.words), strict=True):
            assert {scene.digits[place] for place in places} == ({digit} if digit is not None else set())
        assert sorted(place for places in scene.named for place in places) == list(range(len(scene.digits)))


def test_clutter_is_background_and_darker_than_a_digit(drawn: list[Scene]) -> None:
    outside = [np.where(sum(scene.region([p]) for p in range(len(scene.digits))), 0, scene.image) for scene in drawn]
    assert 0.5 < np.mean([(image > 0).any() for image in outside]) < 1
    assert max(image.max() for image in outside) <= 0.6 * 255


def test_a_value_without_an_image_is_refused(pool: Split) -> None:
    with pytest.raises(DataError, match=f"there is no {DIGITS.index('three')} among them"):
        Scenes(pool[np.flatnonzero(pool.labels != 3)], "key", 1)
