import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import vocabulary
from training.data.vocabulary import END, PAD, SPECIAL, START, UNKNOWN, Vocabulary, build_vocabulary
from training.errors import DataError

words = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=4)  # no white space
captions = st.lists(words, min_size=1, max_size=5).map(" ".join)
corpora = st.lists(st.lists(captions, min_size=1, max_size=2), min_size=1, max_size=3)

DOGS = (("a dog runs", "a dog"), ("a cat sleeps", "two cats"))


@given(corpora)
def test_any_caption_it_was_built_of_comes_back(corpus: list[list[str]]) -> None:
    known = build_vocabulary(corpus)
    for caption in (caption for texts in corpus for caption in texts):
        tokens = known.encode(caption)
        assert (tokens[0], tokens[-1]) == (START, END)
        assert not {PAD, START, END, UNKNOWN} & set(tokens[1:-1])
        assert known.decode([*tokens, PAD, PAD]) == caption


@given(corpora)
def test_a_file_holds_all_of_it(tmp_path_factory: pytest.TempPathFactory, corpus: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "words.txt"
    known = build_vocabulary(corpus)
    known.write(path)
    assert path.read_bytes().decode().split("\n")[:-1] == list(known.words)


def test_words_come_by_how_often_they_are_there_and_then_by_the_alphabet() -> None:
    found = build_vocabulary(DOGS)
    assert found.words == (*SPECIAL, "a", "dog", "cat", "cats", "runs", "sleeps", "two")
    assert (found.words[PAD], found.words[START], found.words[END], found.words[UNKNOWN]) == SPECIAL
    assert len(found) == 11


def test_a_word_seen_too_seldom_is_unknown() -> None:
    found = build_vocabulary(DOGS, min_count=2)
    assert found.words[4:] == ("a", "dog")
    assert found.encode("a cat") == [START, 4, UNKNOWN, END]
    assert found.decode([START, 4, UNKNOWN, END]) == "a <unknown>"


def test_a_caption_that_writes_a_special_token_does_not_become_one() -> None:
    assert build_vocabulary(DOGS).encode("<end> a <pad>") == [START, UNKNOWN, 4, UNKNOWN, END]


def test_a_longer_caption_is_cut_and_still_ends() -> None:
    assert build_vocabulary(DOGS).encode("a dog runs", longest=2) == [START, 4, 5, END]


def test_what_comes_after_the_end_is_not_said() -> None:
    assert build_vocabulary(DOGS).decode([4, END, 5]) == "a"


@pytest.mark.parametrize("token", [-1, 11])
def test_a_token_outside_is_refused(token: int) -> None:
    with pytest.raises(DataError, match=f"a token is {token}; the vocabulary has 0 to 10"):
        build_vocabulary(DOGS).decode([token])


def test_captions_without_a_word_often_enough_are_refused() -> None:
    with pytest.raises(DataError, match="min_count is 4; no word occurs that often in the captions"):
        build_vocabulary(DOGS, min_count=4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a", "b", "c", "d", "e"], "begins with 'a b c d'; expected '<pad> <start> <end> <unknown>'"),
        (list(SPECIAL[:3]), "begins with"),
        ([*SPECIAL, "dog", "dog"], "'dog' is repeated in the vocabulary"),
        ([*SPECIAL, "", "dog"], "'' is not one word in the vocabulary"),
        ([*SPECIAL, "hot dog"], "'hot dog' is not one word"),
        ([*SPECIAL, "dog\x0b"], "not one word in the vocabulary"),
    ],
)
def test_words_that_are_no_vocabulary_are_refused(lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary(tuple(lines))


def test_more_words_than_are_used_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MAX_WORDS", 5)
    assert len(Vocabulary((*SPECIAL, "a"))) == 5
    with pytest.raises(DataError, match="the vocabulary has 6 words; at most 5"):
        Vocabulary((*SPECIAL, "a", "b"))
