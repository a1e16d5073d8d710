"""The caption of digits on a canvas: a function of the digits and their positions; none if a position is ambiguous.

The grammar, with groups in the order of their digits' values, so that a scene has exactly one caption::

    caption = one place | several [arrangement] | group relation group | group "and" group {"and" group}
    group = one | several
    one = ("a" | "an") digit                     "a three", "an eight"
    several = ("two" | "three" | "four") digits  "two sevens"
    place = "in the top left" | "at the top" | ... (nine of them)
    arrangement = "in a row" | "in a column"
    relation = "left of" | "right of" | "above" | "below"

A relation holds between all digits of one group and all of the other. Two groups without a relation are joined by
"and", as three or more groups always are.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

SIDE = 64  # pixels of the canvas
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLURALS = tuple(word + ("es" if word == "six" else "s") for word in DIGITS)
ARTICLES = ("a", "an")
COUNTS: Mapping[int, str] = {2: "two", 3: "three", 4: "four"}
PLACES = (
    ("in the top left", "at the top", "in the top right"),
    ("on the left", "in the middle", "on the right"),
    ("in the bottom left", "at the bottom", "in the bottom right"),
)
JOINTS = ("left", "right", "above", "below", "and")  # the first words of what joins two groups
# The ranges, in pixels, in which a centre is clearly in the first, the second or the last third.
THIRDS = ((0, 20), (27, 37), (44, SIDE))
# A distance of `CLEAR` pixels or more along one axis is a relation if that along the other is at most `SLANT` of it. A
# distance up to `VAGUE`, or with at least `DIAGONAL` of it along the other axis, is none. In between it is ambiguous.
CLEAR, VAGUE = 8.0, 4.0
SLANT, DIAGONAL = 0.5, 0.8

Point = tuple[float, float]


def describe(digits: Sequence[int], centres: Sequence[Point]) -> tuple[str, ...] | None:
    """The caption of ``digits`` (0 to 9, at most four equal ones) with their ``centres`` (x, y), y downwards.

    None if a place, an arrangement or a relation is ambiguous.
    """
    groups = {digit: [c for d, c in zip(digits, centres, strict=True) if d == digit] for digit in sorted(set(digits))}
    phrases = [_group(digit, len(points)) for digit, points in groups.items()]
    first, *others = groups.values()
    if not others:
        said = _place(first[0]) if len(first) == 1 else _arrangement(first)
        return None if said is None else (*phrases[0].split(), *said.split())
    joint = _relation(first, others[0]) if len(others) == 1 else "and"
    return None if joint is None else tuple(f" {joint} ".join(phrases).split())


def named_digits(words: Sequence[str]) -> list[int | None]:
    """The digit that each of ``words`` names, or None: "two" names 2 in "a two", and no digit in "two sevens"."""
    named: list[int | None] = []
    for before, word in zip(("", *words), words, strict=False):
        singular = word in DIGITS and before in ARTICLES
        named.append(DIGITS.index(word) if singular else PLURALS.index(word) if word in PLURALS else None)
    return named


def digits_to_look_at(words: Sequence[str]) -> list[int | None]:
    """The digit to look at for each of ``words``: the one it names, or, for words that join groups, the next one.

    To tell that a four is left of a six, one looks at the six after the four.
    """
    named = named_digits(words)
    following: list[int | None] = []
    for digit in reversed(named):
        following.append(digit if digit is not None or not following else following[-1])
    after = following[::-1]
    return [after[i] if word in JOINTS else named[i] for i, word in enumerate(words)]


def _group(digit: int, count: int) -> str:
    if count > 1:
        return f"{COUNTS[count]} {PLURALS[digit]}"
    return f"{ARTICLES[digit == 8]} {DIGITS[digit]}"


def _place(centre: Point) -> str | None:
    column, row = map(_third, centre)
    return None if column is None or row is None else PLACES[row][column]


def _third(coordinate: float) -> int | None:
    return next((third for third, (low, high) in enumerate(THIRDS) if low <= coordinate <= high), None)


def _arrangement(points: Sequence[Point]) -> str | None:
    xs, ys = (sorted(axis) for axis in zip(*points, strict=True))
    in_row, in_column = _outweighs(_least_gap(xs), ys[-1] - ys[0]), _outweighs(_least_gap(ys), xs[-1] - xs[0])
    if in_row or in_column:
        return "in a row" if in_row else "in a column"
    return None if in_row is None or in_column is None else ""


def _least_gap(ordered: Sequence[float]) -> float:
    return min(after - before for before, after in pairwise(ordered))


def _relation(group: Sequence[Point], other: Sequence[Point]) -> str | None:
    (xs, ys), (other_xs, other_ys) = zip(*group, strict=True), zip(*other, strict=True)
    across = {"left of": min(other_xs) - max(xs), "right of": min(xs) - max(other_xs)}
    down = {"above": min(other_ys) - max(ys), "below": min(ys) - max(other_ys)}
    longer, shorter = sorted((across, down), key=lambda gaps: max(gaps.values()), reverse=True)
    holds = _outweighs(max(longer.values()), max(shorter.values()))
    if holds is None:
        return None
    return max(longer, key=longer.__getitem__) if holds else "and"


def _outweighs(along: float, across: float) -> bool | None:
    """Whether the distance ``along`` an axis is a relation, given that ``across`` it; None if it is ambiguous."""
    if along >= CLEAR and across <= SLANT * along:
        return True
    return False if along <= VAGUE or across >= DIAGONAL * along else None
