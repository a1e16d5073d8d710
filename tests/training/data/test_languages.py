from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.language_texts import LanguageTexts
from training.data.languages import Texts, excerpts
from training.errors import DataError


@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 9))
def test_an_excerpt_is_a_piece_of_a_sentence_of_its_language(least: int, more: int, seed: int) -> None:
    texts = LanguageTexts().validation().declaration
    found = excerpts(texts, 60, (least, least + more), seed)
    assert len(found) == 60
    assert set(Counter(found.labels.tolist()).values()) == {2, 3}
    own = texts.by_language()
    for piece, label in zip(found.texts, found.labels, strict=True):
        assert 0 < len(piece) <= least + more
        assert any(
            text.startswith(piece) or f" {piece}" in text or (" " not in piece and piece in text) for text in own[label]
        )


def test_excerpts_are_a_function_of_seed_and_number() -> None:
    texts = LanguageTexts().test().declaration
    found = excerpts(texts, 56, (10, 40), 0)
    assert excerpts(texts, 90, (10, 40), 0).texts[:56] == found.texts
    assert excerpts(texts, 56, (10, 40), 1).texts != found.texts
    assert len(set(found.texts)) > 45


def test_excerpts_begin_with_words_where_a_language_parts_them_and_anywhere_else() -> None:
    parted = Texts(("the quick brown fox", "\u4eba\u4eba\u751f\u800c\u81ea\u7531\u5e73\u7b49"), np.array([0, 1]))
    found = excerpts(parted, 200, (6, 6), 0)
    assert set(found.texts[::2]) == {"the qu", "quick", "brown"}  # "fox" has no six characters
    assert set(found.texts[1::2]) == {parted.texts[1][start:][:6] for start in range(3)}


@pytest.mark.parametrize(
    ("texts", "lengths", "message"),
    [
        (("a", "b"), (0, 4), "excerpts are 0 to 4 characters"),
        (("a", "b"), (5, 4), "excerpts are 5 to 4 characters"),
        ((), (1, 4), "excerpts of 0 texts: a language has none"),
    ],
)
def test_lengths_and_texts_that_give_no_excerpt_are_refused(
    texts: tuple[str, ...], lengths: tuple[int, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        excerpts(Texts(texts, np.arange(len(texts))), 2, lengths, 0)
