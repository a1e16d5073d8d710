from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.scene_grammar import CLEAR, DIGITS, PLURALS, Point, describe, digits_to_look_at, named_digits

place = st.tuples(st.integers(5, 59), st.integers(5, 59))
scenes = st.lists(st.tuples(st.integers(0, 9), place), min_size=1, max_size=4)
OTHERS = "a an and left right of above below in at on the top bottom middle row column"
WORDS = {*DIGITS, *PLURALS, *OTHERS.split()}

MIRROR = {"left": "right", "right": "left"}
TURN = {"above": "below", "below": "above", "top": "bottom", "bottom": "top"}


def said(*digits: tuple[int, Point]) -> str | None:
    words = describe([digit for digit, _ in digits], [centre for _, centre in digits])
    return None if words is None else " ".join(words)


@pytest.mark.parametrize(
    ("centre", "place"),
    [
        ((10, 10), "in the top left"),
        ((32, 10), "at the top"),
        ((50, 10), "in the top right"),
        ((10, 32), "on the left"),
        ((32, 32), "in the middle"),
        ((50, 32), "on the right"),
        ((10, 50), "in the bottom left"),
        ((32, 50), "at the bottom"),
        ((50, 50), "in the bottom right"),
        ((23, 32), None),
        ((32, 40), None),
    ],
)
def test_a_digit_alone_is_in_a_third_of_the_canvas_or_on_a_border(centre: Point, place: str | None) -> None:
    assert said((3, centre)) == (place and f"a three {place}")


@pytest.mark.parametrize(
    ("first", "second", "caption"),
    [
        ((10, 30), (40, 35), "a two left of an eight"),
        ((40, 30), (10, 35), "a two right of an eight"),
        ((30, 10), (35, 50), "a two above an eight"),
        ((30, 50), (35, 10), "a two below an eight"),
        ((10, 10), (40, 40), "a two and an eight"),  # as far down as along
        ((10, 10), (12, 13), "a two and an eight"),  # nearly on the same spot
        ((10, 10), (40, 30), None),  # two thirds as far down as along
        ((10, 10), (17, 10), None),  # a little to the left
        ((10, 10), (18, 10), "a two left of an eight"),
    ],
)
def test_a_relation_is_said_where_one_distance_clearly_outweighs(
    first: Point, second: Point, caption: str | None
) -> None:
    assert said((2, first), (8, second)) == caption
    assert said((8, second), (2, first)) == caption


def test_a_relation_holds_of_all_digits_of_both_groups() -> None:
    assert said((7, (40, 20)), (3, (10, 25)), (7, (50, 30))) == "a three left of two sevens"
    assert said((7, (10, 20)), (3, (30, 22)), (7, (50, 24))) == "a three and two sevens"  # between them
    assert said((1, (20, 10)), (1, (30, 12)), (5, (25, 40))) == "two ones above a five"


@pytest.mark.parametrize(
    ("points", "caption"),
    [
        ([(10, 30), (40, 35)], "two sixes in a row"),
        ([(10, 30), (28, 33), (50, 27)], "three sixes in a row"),
        ([(30, 10), (33, 25), (28, 40), (30, 55)], "four sixes in a column"),
        ([(10, 10), (40, 40)], "two sixes"),
        ([(10, 10), (30, 50), (50, 10)], "three sixes"),
        ([(10, 10), (40, 30)], None),
    ],
)
def test_equal_digits_are_in_a_row_in_a_column_or_neither(points: list[Point], caption: str | None) -> None:
    assert said(*((6, point) for point in points)) == caption


def test_three_groups_come_in_the_order_of_their_value() -> None:
    spots = [(9, (10, 10)), (1, (50, 50)), (4, (30, 30)), (1, (10, 50))]
    assert {said(*order) for order in permutations(spots)} == {"two ones and a four and a nine"}


@given(scenes)
def test_a_caption_is_of_the_grammar_and_never_of_the_order_of_digits(scene: list[tuple[int, Point]]) -> None:
    caption = said(*scene)
    assert caption == said(*reversed(scene))
    words = (caption or "").split()
    assert set(words) <= WORDS
    assert {digit for digit in named_digits(words) if digit is not None} == {d for d, _ in scene if caption}
    assert len(words) <= 4 * 3


@given(scenes)
def test_a_mirrored_scene_has_the_mirrored_caption(scene: list[tuple[int, Point]]) -> None:
    caption = said(*scene)
    for swapped, flipped in (
        (MIRROR, [(d, (64 - x, y)) for d, (x, y) in scene]),
        (TURN, [(d, (x, 64 - y)) for d, (x, y) in scene]),
    ):
        expected = caption and " ".join(swapped.get(word, word) for word in caption.split())
        assert said(*flipped) == expected


@given(place, place)
def test_left_is_never_said_of_what_is_not_clearly_left(first: Point, second: Point) -> None:
    if said((0, first), (1, second)) == "a zero left of a one":
        assert second[0] - first[0] >= CLEAR
        assert 2 * abs(second[1] - first[1]) <= second[0] - first[0]


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("a two left of two twos", [None, 2, None, None, None, 2]),
        ("an eight above three sixes", [None, 8, None, None, 6]),
        ("", []),
    ],
)
def test_a_word_for_a_number_names_a_digit_only_after_an_article(caption: str, named: list[int | None]) -> None:
    assert named_digits(caption.split()) == named


def test_what_joins_two_groups_is_seen_at_the_second() -> None:
    assert digits_to_look_at(["two", "fours", "left", "of", "a", "six"]) == [None, 4, 6, None, None, 6]
    assert digits_to_look_at(["a", "one", "and", "two", "threes", "and", "a", "nine"]) == [
        None,
        1,
        3,
        None,
        3,
        9,
        None,
        9,
    ]
    assert digits_to_look_at(["a", "two", "on", "the", "left"]) == [None, 2, None, None, None]
