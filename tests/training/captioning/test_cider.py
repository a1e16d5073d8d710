from math import exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.captioning.cider import Cider

text = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=7).map(" ".join)
corpora = st.lists(st.lists(text, min_size=1, max_size=3), min_size=2, max_size=4)

REFERENCES = [
    ["a black dog runs through the snow", "a dog is running in the snow", "black dog in snow"],
    ["two children play with a ball in the grass", "kids play ball", "two kids with a red ball on the grass"],
    ["a man climbs a steep rock", "a climber on a rock face"],
]
CAPTIONS = ["a black dog is running in the snow", "two two kids play on the grass", "a man on a rock"]
TOOLKIT = [4.218651, 1.821404, 2.567414]


def test_a_word_of_one_image_in_two_weighs_log_two_and_one_of_both_nothing() -> None:
    cider = Cider([["a dog", "a dog"], ["a cat"]])
    assert cider.weigh(("dog",)) == pytest.approx(log(2))
    assert cider.weigh(("a",)) == 0
    assert cider.weigh(("never",)) == pytest.approx(log(2))


def test_the_reference_itself_gets_ten_where_it_has_all_lengths() -> None:
    references = [["one two three four"], ["five six seven eight"]]
    cider = Cider(references)
    assert cider.score("one two three four", references[0]) == pytest.approx(10)
    assert cider.score("five six seven eight", references[0]) == 0
    # Of two words there are no n-grams of three and four: half of it.
    assert Cider([["one two"], ["three four"]]).score("one two", ["one two"]) == pytest.approx(5)


def test_a_score_worked_out_by_hand() -> None:
    # Every n-gram is in one image of two and weighs w = log 2. Caption "p q", reference "p r":
    # one-grams (w, w) and (w, w) share p, so their cosine is w^2 / (sqrt 2 w)^2 = 1/2; two-grams share nothing.
    cider = Cider([["p r"], ["s t"]])
    assert cider.score("p q", ["p r"]) == pytest.approx(10 * 0.5 / 4)
    # Caption "p", reference "p r": cosine w^2 / (w * sqrt 2 w), and one word is missing.
    assert cider.score("p", ["p r"]) == pytest.approx(10 * exp(-1 / 72) / sqrt(2) / 4)


def test_a_word_said_again_counts_as_often_as_the_reference_has_it() -> None:
    # Caption "p p": weight 2w, of which 1w counts: w * w / (2w * w) = 1/2, and its two-gram is in no reference.
    cider = Cider([["p"], ["s"]])
    assert cider.score("p p", ["p"]) == pytest.approx(10 * exp(-1 / 72) * 0.5 / 4)


def test_the_score_is_the_mean_over_the_references() -> None:
    cider = Cider([["p q", "r"], ["s"]])
    alone = [cider.score("p q", [text]) for text in ("p q", "r")]
    assert cider.score("p q", ["p q", "r"]) == pytest.approx(sum(alone) / 2)
    assert alone[0] > alone[1] == 0


@given(corpora, text)
def test_a_score_lies_between_nought_and_ten(references: list[list[str]], caption: str) -> None:
    cider = Cider(references)
    assert 0 <= cider.score(caption, references[0]) <= 10 + 1e-9


def test_an_empty_caption_gets_nothing() -> None:
    assert Cider([["a"], ["b"]]).score("", ["a"]) == 0


def test_figures_of_the_authors_toolkit() -> None:
    # pycocoevalcap 1.2 on the same captions.
    cider = Cider(REFERENCES)
    found = [cider.score(caption, texts) for caption, texts in zip(CAPTIONS, REFERENCES, strict=True)]
    assert found == pytest.approx(TOOLKIT, abs=1e-6)
