"""The pieces of text that a language recogniser learns from."""

from dataclasses import dataclass
from random import Random

import numpy as np

from training.craft.table import NonNegative, Table
from training.data.language_texts import ToLearn
from training.data.languages import CODES, Texts, any_of, check_lengths, piece
from training.data.spelling import Spelling, respell
from training.errors import DataError

WORDS = range(2, 8)  # of a piece made of words
UNSPACED = frozenset({"ja", "zh"})  # languages that write words without spaces between them


class Mixture(Table):
    """How many of the pieces come from each part of the texts, in proportion to the other parts."""

    declaration: NonNegative = 1.0
    interfaces: NonNegative = 0.0
    words: NonNegative = 0.0


@dataclass(frozen=True)
class Pieces:
    """Which pieces are drawn: their ``lengths`` in characters (least and most), at most ``most_bytes`` in UTF-8."""

    lengths: tuple[int, int]
    most_bytes: int
    mixture: Mixture
    spelling: Spelling


def draw_pieces(texts: ToLearn, count: int, how: Pieces, seed: int) -> Texts:
    """``count`` pieces of the ``texts``, whose languages take turns; a piece is a function of ``seed`` and its number.

    A piece of the declaration or of an interface is drawn as `excerpts` does. One of words has two to seven of them in
    any order. A piece that is longer than allowed in UTF-8 loses its end.

    Raises:
        DataError: a language has no text in a part that is wanted, or the lengths are no range from 1 or more.
    """
    check_lengths(how.lengths)
    weights = how.mixture.model_dump()
    parts = {name: getattr(texts, name).by_language() for name, weight in weights.items() if weight}
    for name, own in parts.items():
        if len(own) != len(CODES) or not all(own):
            raise DataError(f"{name}: a language has no text")
    if not parts:
        raise DataError(f"mixture is {weights}; at least one must be above 0")
    names, shares = list(parts), [weights[name] for name in parts]
    labels = np.arange(count) % len(CODES)
    found = []
    for number, label in enumerate(labels):
        random = Random(f"{seed} {number}")
        (name,) = random.choices(names, shares)
        own = parts[name][label]
        text = _words(own, CODES[label], random) if name == "words" else piece(any_of(own, random), how.lengths, random)
        text = respell(text, CODES[label], how.spelling, random)
        found.append(text.encode()[: how.most_bytes].decode(errors="ignore").strip())
    return Texts(tuple(found), labels.astype(np.int64))


def _words(words: list[str], code: str, random: Random) -> str:
    return ("" if code in UNSPACED else " ").join(any_of(words, random) for _ in range(any_of(WORDS, random)))
