"""The ways in which people write the same text: capitals, small letters, letters without their accents."""

import unicodedata
from collections.abc import Callable, Mapping
from random import Random

import numpy as np

from training.craft.table import Share, Table
from training.data.languages import Texts

# Letters that Unicode does not decompose into a letter and a mark, as they are written on an English keyboard.
PLAIN = str.maketrans(
    {
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ı": "i",  # noqa: RUF001, it is meant
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
    }
)
# The two letters that a language itself writes for one, where the one is not to be had.
PAIRS: Mapping[str, dict[int, str]] = {
    "da": str.maketrans({"å": "aa", "ø": "oe", "Å": "Aa", "Ø": "Oe"}),
    "de": str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}),
    "nb": str.maketrans({"å": "aa", "ø": "oe", "Å": "Aa", "Ø": "Oe"}),
    "sv": str.maketrans({"å": "aa", "ä": "ae", "ö": "oe", "Å": "Aa", "Ä": "Ae", "Ö": "Oe"}),
}
CASES: tuple[Callable[[str], str], ...] = (str.upper, str.upper, str.lower, str.title)


class Spelling(Table):
    """How the pieces that a recogniser learns from are written.

    ``case`` is the share that is written in upper, lower or title case (upper case is drawn twice as often as each of
    the others), and ``accents`` the share that loses its accents.
    """

    case: Share = 0.0
    accents: Share = 0.0


def without_accents(text: str) -> str:
    """``text`` as it is written on an English keyboard.

    Letters of the Latin, Greek and Cyrillic scripts lose their marks (é becomes e), and those that no mark explains
    become one or two plain letters (ł becomes l, ß becomes ss). Other scripts stay as they are.
    """
    parted = unicodedata.normalize("NFD", text.translate(PLAIN))
    # The block of combining marks that only these three scripts use.
    return unicodedata.normalize("NFC", "".join(letter for letter in parted if not "\u0300" <= letter <= "\u036f"))


# The ways in which a recogniser is measured.
SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "everyday": str,
    "upper_case": str.upper,
    "without_accents": without_accents,
}


def in_every_spelling(texts: Texts) -> Texts:
    """The ``texts`` in each of `SPELLINGS` in turn."""
    spelt = tuple(spell(text) for spell in SPELLINGS.values() for text in texts.texts)
    return Texts(spelt, np.tile(texts.labels, len(SPELLINGS)))


def respell(text: str, language: str, how: Spelling, random: Random) -> str:
    """``text``, in the language of the ISO 639-1 code ``language``, written as ``how`` says, by draws from ``random``.

    Half of the texts that lose their accents have the language's own pairs of letters (`PAIRS`), if it has any.
    """
    if random.random() < how.accents:
        if random.random() < 0.5:
            text = text.translate(PAIRS.get(language, {}))
        text = without_accents(text)
    if random.random() < how.case:
        text = random.choice(CASES)(text)
    return text
