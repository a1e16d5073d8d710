"""The languages that a recogniser knows, and pieces of texts in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np

from training.data.split import Labels
from training.errors import DataError

FOLDER = Path(__file__).parent / "texts"
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
CODES = tuple(LANGUAGES)

T = TypeVar("T")


@dataclass(frozen=True)
class Texts:
    """Texts and their languages (N,), from 0."""

    texts: tuple[str, ...]
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def by_language(self) -> list[list[str]]:
        """The texts of each language in turn, up to the last that has one."""
        found: list[list[str]] = [[] for _ in range(int(self.labels.max(initial=-1)) + 1)]
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            found[label].append(text)
        return found


def labelled(texts: Sequence[tuple[str, str]]) -> Texts:
    """`Texts` of pairs of a language's code and a text."""
    return Texts(tuple(text for _, text in texts), np.array([CODES.index(code) for code, _ in texts], np.int64))


def read_bytes(path: Path) -> bytes:
    """The content of the file of texts ``path``.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from error


def excerpts(texts: Texts, count: int, lengths: tuple[int, int], seed: int) -> Texts:
    """``count`` pieces of the ``texts``, whose languages take turns.

    A piece starts at the start of a word. Its length in characters is drawn from ``lengths`` (least and most), or less
    if its sentence ends before. It is a function of ``seed`` and its own number.

    Raises:
        DataError: a language has no text, or ``lengths`` is no range from 1 or more.
    """
    check_lengths(lengths)
    own = texts.by_language()
    if not own or not all(own):
        raise DataError(f"excerpts of {len(texts)} texts: a language has none of them")
    labels = np.arange(count) % len(own)
    pieces = []
    for number, label in enumerate(labels):
        random = Random(f"{seed} {number}")
        pieces.append(piece(any_of(own[label], random), lengths, random))
    return Texts(tuple(pieces), labels.astype(np.int64))


def check_lengths(lengths: tuple[int, int]) -> None:
    """Raise DataError unless ``lengths`` are in order and 1 or more."""
    least, most = lengths
    if not 1 <= least <= most:
        raise DataError(f"the lengths of excerpts are {least} to {most} characters; they must be 1 or more, in order")


def piece(text: str, lengths: tuple[int, int], random: Random) -> str:
    """A piece of ``text`` of so many characters, from the start of a word, as `excerpts` says."""
    length = any_of(range(lengths[0], lengths[1] + 1), random)
    # A piece starts early enough to have its full length if the text allows; some languages have no spaces.
    last = max(0, len(text) - length)
    starts = [0, *(place for place in range(1, last + 1) if text[place - 1] == " " or " " not in text)]
    return text[any_of(starts, random) :][:length].strip()


def any_of(choices: Sequence[T], random: Random) -> T:
    """One of the ``choices``, each as likely, by one draw from ``random``."""
    return choices[int(random.random() * len(choices))]
