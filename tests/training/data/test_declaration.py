from pathlib import Path

import numpy as np
import pytest

from training.data.declaration import articles, parse_sentences
from training.data.language_texts import LanguageTexts
from training.data.languages import CODES, FOLDER, Texts
from training.errors import DataError


@pytest.fixture(scope="module")
def splits() -> dict[str, Texts]:
    source = LanguageTexts()
    held = {"validation": source.validation().declaration, "test": source.test().declaration}
    return {"training": source.training().declaration, **held}


def test_every_language_has_every_article_and_a_file() -> None:
    folder = FOLDER / "declaration"
    assert {path.name for path in folder.iterdir()} == {f"{code}.txt" for code in CODES}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000
    for code in CODES:
        sentences = parse_sentences((folder / f"{code}.txt").read_bytes(), code)
        assert {article for article, _ in sentences} == set(range(31)), code
        assert all(text == " ".join(text.split()) for _, text in sentences)


def test_the_splits_share_no_article_and_no_sentence(splits: dict[str, Texts]) -> None:
    sentences = [set(split.texts) for split in splits.values()]
    assert not sentences[0] & sentences[1]
    assert not sentences[0] & sentences[2]
    assert not sentences[1] & sentences[2]
    whole = sum(len(path.read_text("utf-8").splitlines()) for path in (FOLDER / "declaration").glob("*.txt"))
    assert sum(map(len, splits.values())) == whole > 2_000


def test_every_split_has_every_language(splits: dict[str, Texts]) -> None:
    for name, least in {"training": 50, "validation": 3, "test": 10}.items():
        counts = np.bincount(splits[name].labels, minlength=len(CODES))
        assert counts.min() >= least, name
    english = splits["test"].by_language()[CODES.index("en")]
    assert "No one shall be subjected to arbitrary arrest, detention or exile." in english


def test_the_hash_puts_each_article_in_one_place() -> None:
    assert sorted(number for split in articles().values() for number in split) == list(range(31))
    assert articles()["test"] == (9, 8, 29, 13, 17, 10)


@pytest.mark.parametrize(
    "line", [b"1 no tab", b"31\tNo such article.", b"x\tText.", b"1\t ", b"1\t\xff", b"", "\u0663\tText.".encode()]
)
def test_a_line_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(DataError, match=r"xx\.txt, line 2: .* is not an article's number, a tab and a text"):
        parse_sentences(b"1\tText.\n" + line + b"\n2\tText.\n", "xx.txt")


def test_a_folder_without_the_files_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"validation\.txt cannot be read"):
        LanguageTexts(tmp_path).validation()
