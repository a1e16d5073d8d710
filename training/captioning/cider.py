"""CIDEr-D, the agreement of a caption with people's captions (Vedantam et al., arXiv:1411.5726)."""

from collections import Counter
from collections.abc import Sequence
from math import exp, hypot, log

LONGEST = 4  # words of an n-gram
SIGMA = 6.0
SCALE = 10.0

Gram = tuple[str, ...]


class Cider:
    """Scores captions against ``references``, several for each image; n-grams are weighted by this corpus.

    The weight of an n-gram is its count in the caption times the logarithm of the number of images over the number of
    those that have it in a reference. A caption's score is 10 times the mean, over n = 1..4 and over its references, of
    the cosine between the two weight vectors times exp(-(difference of their lengths)^2 / (2 * 6^2)). In the cosine, an
    n-gram of the caption counts at most as often as in the reference.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        seen = Counter(gram for texts in references for gram in {g for text in texts for g in _grams(text)})
        self._weights = {gram: log(len(references) / images) for gram, images in seen.items()}
        self._unseen = log(max(1, len(references)))

    def score(self, caption: str, references: Sequence[str]) -> float:
        """The score of ``caption``, from 0; 10 if it equals its only reference."""
        found = _Vectors(self, caption)
        return SCALE * sum(found.likeness(_Vectors(self, text)) for text in references) / len(references)

    def weigh(self, gram: Gram) -> float:
        """The logarithm of the number of images over the number of those with ``gram``."""
        return self._weights.get(gram, self._unseen)


class _Vectors:
    """The weight vector of a text for the n-grams of each length."""

    def __init__(self, cider: Cider, text: str) -> None:
        self.words = len(text.split())
        self.values: list[dict[Gram, float]] = [{} for _ in range(LONGEST)]
        for gram, count in Counter(_grams(text)).items():
            self.values[len(gram) - 1][gram] = count * cider.weigh(gram)
        self.norms = [hypot(*vector.values()) for vector in self.values]

    def likeness(self, other: "_Vectors") -> float:
        penalty = exp(-((self.words - other.words) ** 2) / (2 * SIGMA**2))
        cosines = 0.0
        for mine, its, norm, its_norm in zip(self.values, other.values, self.norms, other.norms, strict=True):
            common = sum(min(value, its[gram]) * its[gram] for gram, value in mine.items() if gram in its)
            cosines += common / (norm * its_norm) if norm and its_norm else 0.0
        return penalty * cosines / LONGEST


def _grams(text: str) -> list[Gram]:
    words = text.split()
    return [tuple(words[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(words) - n + 1)]
