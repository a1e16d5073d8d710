"""The Universal Declaration of Human Rights in every language."""

from hashlib import sha256
from pathlib import Path

from training.data.languages import CODES, Texts, labelled, read_bytes
from training.errors import DataError

ARTICLES = 31  # 30 articles, and the preamble as number 0
TEST_ARTICLES, VALIDATION_ARTICLES = 6, 3


def read_declaration(folder: Path, wanted: tuple[int, ...]) -> Texts:
    """The sentences of the ``wanted`` articles in every language, in files ``<code>.txt`` in ``folder``.

    Raises:
        DataError: a file cannot be read, or `parse_sentences` refuses it.
    """
    found = []
    for code in CODES:
        path = folder / f"{code}.txt"
        sentences = parse_sentences(read_bytes(path), path.name)
        found += [(code, text) for article, text in sentences if article in wanted]
    return labelled(found)


def articles() -> dict[str, tuple[int, ...]]:
    """The numbers of the articles of each split.

    Whole articles are test or validation, the same in all languages, chosen by a hash of their number, so that no test
    sentence is a translation of a training sentence.
    """
    numbers = tuple(sorted(range(ARTICLES), key=lambda article: sha256(str(article).encode()).digest()))
    held = TEST_ARTICLES + VALIDATION_ARTICLES
    return {"test": numbers[:TEST_ARTICLES], "validation": numbers[TEST_ARTICLES:held], "training": numbers[held:]}


def parse_sentences(content: bytes, name: str) -> list[tuple[int, str]]:
    """The article's number and the text in each line of ``content``.

    Raises:
        DataError: a line is not a number below `ARTICLES`, a tab and a text in UTF-8; the message has ``name`` and the
            line.
    """
    found = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        article, tab, text = line.decode("utf-8", "replace").partition("\t")
        known = article.isascii() and article.isdecimal() and int(article) < ARTICLES
        if not (tab and known and text.strip()) or "\ufffd" in text:
            raise DataError(f"{name}, line {number}: {line[:40]!r} is not an article's number, a tab and a text")
        found.append((int(article), text))
    return found
