from dataclasses import replace
from itertools import permutations
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.captioning.metrics import attention_mass, attention_on_digits, bleu, score
from training.data.scenes import Scene
from training.errors import EvaluationError

NAMES = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d", "exact_match"}
REFERENCES = [
    ["a black dog runs through the snow", "a dog is running in the snow", "black dog in snow"],
    ["two children play with a ball in the grass", "kids play ball", "two kids with a red ball on the grass"],
    ["a man climbs a steep rock", "a climber on a rock face"],
]
CAPTIONS = ["a black dog is running in the snow", "two two kids play on the grass", "a man on a rock"]
SACREBLEU = [85.95955471341615, 80.03351877196117, 66.17512847307101, 51.71254063677841]

sentence = st.lists(st.sampled_from("abcde"), min_size=1, max_size=6).map(" ".join)


def test_captions_that_are_their_references_have_the_best_of_every_metric() -> None:
    texts = ["a three left of two sevens", "a four and a nine"]
    metrics = score(texts, [[text] for text in texts])
    assert set(metrics) == NAMES
    assert metrics == pytest.approx({**dict.fromkeys(NAMES, 1.0), "cider_d": 10.0}, abs=1e-6)


def test_captions_of_other_words_have_the_worst() -> None:
    assert score(["x y z u v"], [["a b c d e"]]) == dict.fromkeys(NAMES, 0.0)


def test_bleu_is_that_of_sacrebleu() -> None:
    # sacrebleu 2.6.0, tokenize="none", smooth_method="none".
    assert [100 * bleu(CAPTIONS, REFERENCES, n) for n in (1, 2, 3, 4)] == pytest.approx(SACREBLEU, abs=1e-4)


def test_bleu_by_hand() -> None:
    # Two of three words are there; "a" counts once. Of the references' lengths, 4 and 2 are as near to 3: the shorter.
    for order in permutations(["a b c d", "a b"]):
        assert bleu(["a a b"], [order], 1) == pytest.approx(2 / 3)
    # One word of two, and the caption is half as long as its reference.
    assert bleu(["a x"], [["a b c d"]], 1) == pytest.approx(exp(1 - 4 / 2) / 2)


def test_rouge_l_by_hand() -> None:
    # "a c d" of four and of three words, in order: 2 * 3/4 * 3/3 / (3/4 + 3/3).
    metrics = score(["a b c d", "x"], [["a c d", "d c b a"], ["y", "z"]])
    assert metrics["rouge_l"] == pytest.approx((6 / 7 + 0) / 2, abs=1e-6)


def test_exact_match_is_the_share_that_is_one_of_the_references() -> None:
    assert score(["a", "b", "c", "a b"], [["x", "a"], ["b"], ["b"], ["b a"]])["exact_match"] == 0.5


@given(st.lists(st.tuples(sentence, st.lists(sentence, min_size=1, max_size=3)), min_size=1, max_size=3))
def test_the_order_of_references_has_no_say(corpus: list[tuple[str, list[str]]]) -> None:
    captions, references = zip(*corpus, strict=True)
    metrics = score(captions, references)
    assert score(captions, [texts[::-1] for texts in references]) == pytest.approx(metrics, abs=1e-6)
    assert all(0 <= metrics[name] <= 1 + 1e-6 for name in NAMES - {"cider_d"})


def test_an_empty_caption_is_scored_and_not_refused() -> None:
    metrics = score(["", "a b"], [["a"], ["a b"]])
    assert metrics["exact_match"] == 0.5
    assert 0 < metrics["bleu_1"] < 1


@pytest.mark.parametrize(
    ("captions", "references", "message"),
    [
        ([], [], "0 captions and 0 lists of references"),
        (["a"], [["a"], ["b"]], "1 captions and 2 lists of references, 0 of them empty"),
        (["a", "b"], [["a"], []], "2 captions and 2 lists of references, 1 of them empty"),
    ],
)
def test_captions_without_their_references_are_refused(
    captions: list[str], references: list[list[str]], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        score(captions, references)


@pytest.fixture
def scene() -> Scene:
    """A three in the first of four by four cells; a seven in the last and one over half of two more."""
    blank = np.zeros((64, 64), np.uint8)
    boxes = ((0, 0, 16, 16), (48, 48, 64, 64), (16, 48, 48, 56))
    return Scene(blank, blank, (3, 7, 7), boxes, ("a", "three", "left", "of", "two", "sevens"))


def looking(*cells: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Attention (T, 4, 4), wholly on one cell for each word."""
    attention = np.zeros((len(cells), 4, 4), np.float32)
    for word, cell in enumerate(cells):
        attention[word][cell] = 1
    return attention


def test_attention_counts_where_it_lies_on_the_digits_that_the_word_names(scene: Scene) -> None:
    away = (2, 0)
    for cells, masses in (
        (((0, 0), (0, 0), away, away, (0, 0), (3, 3)), [1, 1]),
        ((away, (3, 3), away, away, away, (0, 0)), [0, 0]),
        ((away, away, away, away, away, (3, 1)), [0, 0.5]),
    ):
        assert attention_on_digits(scene.caption, looking(*cells), scene) == masses


def test_attention_spread_over_all_cells_has_the_share_of_the_boxes(scene: Scene) -> None:
    even = np.full((6, 8, 8), 1 / 64, np.float32)
    assert attention_on_digits(scene.caption, even, scene) == pytest.approx([1 / 16, 1 / 16 + 1 / 16])


def test_a_digit_that_is_not_there_has_no_attention(scene: Scene) -> None:
    assert attention_on_digits("an eight and a three", looking(*[(0, 0)] * 6), scene) == [0, 1]
    assert attention_on_digits("two threes", looking((0, 0), (0, 0)), scene) == [1]


def test_the_mass_is_the_mean_over_words_and_not_over_captions(scene: Scene) -> None:
    alone = replace(scene, digits=(3,), boxes=scene.boxes[:1], words=("a", "three"))
    captions = [scene.caption, alone.caption]
    attention = [looking(*[(0, 0)] * 6), looking((0, 0), (0, 0))]
    assert attention_mass(captions, attention, [scene, alone]) == pytest.approx((1 + 0 + 1) / 3)


def test_attention_that_does_not_fit_is_refused(scene: Scene) -> None:
    with pytest.raises(EvaluationError, match="the attention has 2 steps of 4x4 cells; it needs 6 steps or more"):
        attention_on_digits(scene.caption, looking((0, 0), (0, 0)), scene)
    with pytest.raises(EvaluationError, match="2 steps of 7x8 cells; it needs 2 steps or more"):
        attention_on_digits("a three", np.zeros((2, 7, 8), np.float32), scene)


def test_a_captioner_that_names_no_digit_has_looked_at_none(scene: Scene) -> None:
    assert attention_mass(["above"], [looking((0, 0))], [scene]) == 0.0
