"""Sentences of many languages, for language recognition (I2DL XI: many to one)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np

from training.data.split import Labels
from training.errors import DataError

FOLDER = Path(__file__).parent / "declaration"
LANGUAGES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nb": "Norwegian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
ARTICLES = 31  # 30 articles, and the preamble as number 0
TEST_ARTICLES, VALIDATION_ARTICLES = 6, 3


@dataclass(frozen=True)
class Texts:
    """Texts and their languages (N,), from 0."""

    texts: tuple[str, ...]
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Declaration:
    """The Universal Declaration of Human Rights in `LANGUAGES`, with its files in ``folder``.

    Whole articles are test or validation, the same in all languages, chosen by a hash of their number, so that no test
    sentence is a translation of a training sentence.
    """

    folder: Path = FOLDER
    labels: tuple[str, ...] = field(default=tuple(LANGUAGES.values()), init=False)
    name: str = field(default="udhr", init=False)
    title: str = field(default="Universal Declaration of Human Rights", init=False)
    licence: str = field(default="public domain", init=False)
    homepage: str = field(default="https://www.unicode.org/udhr/", init=False)

    @property
    def files(self) -> Mapping[str, str]:
        """The name of each file and the sha256 of its content."""
        return {path.name: sha256(self._read(path)).hexdigest() for path in self._paths()}

    def training(self) -> Texts:
        """The sentences of 22 articles in every language."""
        return self._texts(articles()[TEST_ARTICLES + VALIDATION_ARTICLES :])

    def validation(self) -> Texts:
        """The sentences of three articles."""
        return self._texts(articles()[TEST_ARTICLES:][:VALIDATION_ARTICLES])

    def test(self) -> Texts:
        """The sentences of six articles, for `evaluate`."""
        return self._texts(articles()[:TEST_ARTICLES])

    def _paths(self) -> list[Path]:
        return [self.folder / f"{code}.txt" for code in LANGUAGES]

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error})") from error

    def _texts(self, wanted: tuple[int, ...]) -> Texts:
        texts: list[str] = []
        labels: list[int] = []
        for label, path in enumerate(self._paths()):
            sentences = [text for article, text in parse_sentences(self._read(path), path.name) if article in wanted]
            texts += sentences
            labels += [label] * len(sentences)
        return Texts(tuple(texts), np.array(labels, np.int64))


def articles() -> tuple[int, ...]:
    """The numbers of all articles, in the order of their hash."""
    return tuple(sorted(range(ARTICLES), key=lambda article: sha256(str(article).encode()).digest()))


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


def excerpts(texts: Texts, count: int, lengths: tuple[int, int], seed: int) -> Texts:
    """``count`` pieces of the ``texts``, whose languages take turns.

    A piece starts at the start of a word. Its length in characters is drawn from ``lengths`` (least and most), or less
    if its sentence ends before. It is a function of ``seed`` and its own number.

    Raises:
        DataError: a language has no text, or ``lengths`` is no range from 1 or more.
    """
    least, most = lengths
    if not 1 <= least <= most:
        raise DataError(f"the lengths of excerpts are {least} to {most} characters; they must be 1 or more, in order")
    languages = int(texts.labels.max(initial=-1)) + 1
    rows = [np.flatnonzero(texts.labels == label).tolist() for label in range(languages)]
    if not languages or not all(map(len, rows)):
        raise DataError(f"excerpts of {len(texts)} texts: a language has none of them")
    labels = np.arange(count) % languages
    pieces = []
    for number, label in enumerate(labels):
        random = Random(f"{seed} {number}")
        pieces.append(_piece(texts.texts[_any(rows[label], random)], lengths, random))
    return Texts(tuple(pieces), labels.astype(np.int64))


def _piece(text: str, lengths: tuple[int, int], random: Random) -> str:
    length = _any(range(lengths[0], lengths[1] + 1), random)
    # A piece starts early enough to have its full length if the text allows; some languages have no spaces.
    last = max(0, len(text) - length)
    starts = [0, *(place for place in range(1, last + 1) if text[place - 1] == " " or " " not in text)]
    return text[_any(starts, random) :][:length].strip()


def _any(choices: Sequence[int], random: Random) -> int:
    return choices[int(random.random() * len(choices))]
