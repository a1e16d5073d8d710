from dataclasses import replace

import numpy as np
import pytest

from training.data.language_texts import LanguageTexts, ToLearn
from training.data.languages import CODES, Texts
from training.data.mixture import Mixture, Pieces, draw_pieces
from training.data.spelling import Spelling
from training.errors import DataError

PLAIN = Pieces((5, 40), 96, Mixture(declaration=1, interfaces=1, words=1), Spelling())


@pytest.fixture(scope="module")
def texts() -> ToLearn:
    return LanguageTexts().training()


def test_languages_take_turns_and_a_piece_is_a_function_of_seed_and_number(texts: ToLearn) -> None:
    found = draw_pieces(texts, 112, PLAIN, 0)
    assert found.labels.tolist() == list(range(28)) * 4
    assert draw_pieces(texts, 140, PLAIN, 0).texts[:112] == found.texts
    assert draw_pieces(texts, 112, PLAIN, 1).texts != found.texts
    assert all(0 < len(text.encode()) <= 96 for text in found.texts)


def test_pieces_come_from_the_parts_in_proportion(texts: ToLearn) -> None:
    def count(mixture: Mixture) -> int:
        found = draw_pieces(texts, 2_800, replace(PLAIN, mixture=mixture), 0).by_language()[CODES.index("en")]
        return sum(any(text in sentence for sentence in english) for text in found)

    english = texts.declaration.by_language()[CODES.index("en")]
    assert count(Mixture()) == 100
    assert 40 < count(Mixture(declaration=1, words=1)) < 65


def test_a_piece_of_words_has_words_of_its_language_only(texts: ToLearn) -> None:
    found = draw_pieces(texts, 280, replace(PLAIN, mixture=Mixture(declaration=0, words=1), most_bytes=500), 0)
    known, pieces = texts.words.by_language(), found.by_language()
    swedish = {word for text in known[CODES.index("sv")] for word in text.split()}
    assert all(set(piece.split()) <= swedish for piece in pieces[CODES.index("sv")])
    assert not any(" " in piece for piece in pieces[CODES.index("zh")])


def test_a_long_piece_ends_after_a_whole_character(texts: ToLearn) -> None:
    found = draw_pieces(texts, 280, replace(PLAIN, lengths=(60, 60), most_bytes=50), 0)
    assert 45 < max(len(text.encode()) for text in found.texts) <= 50
    assert all("\ufffd" not in text for text in found.texts)


def test_what_gives_no_pieces_is_refused(texts: ToLearn) -> None:
    with pytest.raises(DataError, match="excerpts are 9 to 3 characters"):
        draw_pieces(texts, 1, replace(PLAIN, lengths=(9, 3)), 0)
    with pytest.raises(DataError, match=r"mixture is .*; at least one must be above 0"):
        draw_pieces(texts, 1, replace(PLAIN, mixture=Mixture(declaration=0)), 0)
    poor = replace(texts, words=Texts(("a",), np.array([0])))
    with pytest.raises(DataError, match="words: a language has no text"):
        draw_pieces(poor, 1, PLAIN, 0)
