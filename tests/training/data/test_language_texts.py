import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from training.data.language_texts import LanguageTexts, parse_texts, read_lines
from training.data.languages import CODES, FOLDER, LANGUAGES
from training.errors import DataError


def test_everyday_sentences_are_as_many_in_every_language_and_no_two_alike() -> None:
    source = LanguageTexts()
    validation, test = source.validation().everyday, source.test().everyday
    assert set(Counter(validation.labels.tolist()).values()) == {10}
    assert set(Counter(test.labels.tolist()).values()) == {20}
    texts = validation.texts + test.texts
    assert len({text.casefold() for text in texts}) == len(texts) == 30 * len(CODES)
    assert all(unicodedata.is_normalized("NFC", text) and text == " ".join(text.split()) for text in texts)


def test_what_is_learnt_from_holds_no_everyday_sentence() -> None:
    source, wanted = LanguageTexts(), set[str]()
    for held in (source.validation(), source.test()):
        wanted |= {text.casefold().strip(".!?") for text in held.everyday.texts}
    learnt = source.training()
    for part in (learnt.declaration, learnt.interfaces, learnt.words):
        assert len(part.by_language()) == len(CODES)
        assert all(part.by_language())
        assert not wanted & {text.casefold().strip(".!?") for text in part.texts}


def test_a_text_of_an_interface_is_of_one_language_only() -> None:
    texts = LanguageTexts().training().interfaces.texts
    assert len(set(texts)) == len(texts) > 20_000


def test_the_card_can_name_every_file_but_the_readme_and_the_licence() -> None:
    files = LanguageTexts().files
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.txt")}
    assert set(files) == there
    assert len(files) == 2 * len(CODES) + 3
    assert all(len(checksum) == 64 for checksum in files.values())
    assert LanguageTexts().labels == tuple(LANGUAGES.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"de\tHallo.\nxx\tHello.\n", r"t\.txt, line 2: 'xx\\tHello\.' is not a language's code, a tab and a text"),
        (b"de\tHallo.\nen Hello.\n", r"t\.txt, line 2: 'en Hello\.' is not a language's code"),
        (b"de\t \n", r"t\.txt, line 1: .* is not a language's code"),
        (b"de\tHallo.\n\n", r"t\.txt: a line is empty"),
        (b"de\t\xff\n", r"t\.txt is not UTF-8"),
    ],
)
def test_a_file_that_holds_no_texts_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        parse_texts(tmp_path / "t.txt")
    with pytest.raises(DataError, match=r"none\.txt cannot be read"):
        read_lines(tmp_path / "none.txt")
