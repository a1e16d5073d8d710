from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.languages import FOLDER, LANGUAGES, Declaration, Texts, articles, excerpts, parse_sentences
from training.errors import DataError


@pytest.fixture(scope="module")
def splits() -> dict[str, Texts]:
    source = Declaration()
    return {"training": source.training(), "validation": source.validation(), "test": source.test()}


def test_every_language_has_every_article_and_a_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(LANGUAGES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000
    for code in LANGUAGES:
        sentences = parse_sentences((FOLDER / f"{code}.txt").read_bytes(), code)
        assert {article for article, _ in sentences} == set(range(31)), code
        assert all(text == " ".join(text.split()) for _, text in sentences)


def test_the_splits_share_no_article_and_no_sentence(splits: dict[str, Texts]) -> None:
    sentences = [set(split.texts) for split in splits.values()]
    assert not sentences[0] & sentences[1]
    assert not sentences[0] & sentences[2]
    assert not sentences[1] & sentences[2]
    whole = sum(len(path.read_text("utf-8").splitlines()) for path in FOLDER.glob("*.txt"))
    assert sum(map(len, splits.values())) == whole > 2_000


def test_every_split_has_every_language(splits: dict[str, Texts]) -> None:
    for name, least in {"training": 50, "validation": 3, "test": 10}.items():
        counts = np.bincount(splits[name].labels, minlength=len(LANGUAGES))
        assert counts.min() >= least, name
    assert Declaration().labels == tuple(LANGUAGES.values())
    english = splits["test"].labels == list(LANGUAGES).index("en")
    assert (
        "No one shall be subjected to arbitrary arrest, detention or exile." in np.array(splits["test"].texts)[english]
    )


def test_the_hash_puts_each_article_in_one_place() -> None:
    assert sorted(articles()) == list(range(31))
    assert articles()[:6] == (9, 8, 29, 13, 17, 10)


def test_the_card_can_name_the_files() -> None:
    files = Declaration().files
    assert len(files) == len(LANGUAGES)
    assert all(len(sha256) == 64 for sha256 in files.values())
    assert len(set(files.values())) == len(files)


@pytest.mark.parametrize(
    "line", [b"1 no tab", b"31\tNo such article.", b"x\tText.", b"1\t ", b"1\t\xff", b"", "\u0663\tText.".encode()]
)
def test_a_line_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(DataError, match=r"xx\.txt, line 2: .* is not an article's number, a tab and a text"):
        parse_sentences(b"1\tText.\n" + line + b"\n2\tText.\n", "xx.txt")


def test_a_folder_without_the_files_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ar\.txt cannot be read"):
        Declaration(tmp_path).training()


@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 9))
def test_an_excerpt_is_a_piece_of_a_sentence_of_its_language(least: int, more: int, seed: int) -> None:
    texts = Declaration().validation()
    found = excerpts(texts, 60, (least, least + more), seed)
    assert len(found) == 60
    assert set(Counter(found.labels.tolist()).values()) == {2, 3}
    for piece, label in zip(found.texts, found.labels, strict=True):
        assert 0 < len(piece) <= least + more
        own = [text for text, other in zip(texts.texts, texts.labels, strict=True) if other == label]
        assert any(
            text.startswith(piece) or f" {piece}" in text or (" " not in piece and piece in text) for text in own
        )


def test_excerpts_are_a_function_of_seed_and_number(splits: dict[str, Texts]) -> None:
    found = excerpts(splits["test"], 56, (10, 40), 0)
    assert excerpts(splits["test"], 90, (10, 40), 0).texts[:56] == found.texts
    assert excerpts(splits["test"], 56, (10, 40), 1).texts != found.texts
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
