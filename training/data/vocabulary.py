"""The words of captions and their numbers: tokens."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.errors import DataError

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
NEVER_SAID = (PAD, START, UNKNOWN)
MAX_WORDS = 1 << 16


@dataclass(frozen=True)
class Vocabulary:
    """Words, whose positions in ``words`` are their tokens; the first four are `SPECIAL`.

    Raises:
        DataError: the first four are others, there are too many words, or a word is empty, contains white space, or is
            repeated.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.words[: len(SPECIAL)] != SPECIAL:
            raise DataError(f"the vocabulary begins with {' '.join(self.words[:4])!r}; expected {' '.join(SPECIAL)!r}")
        if len(self.words) > MAX_WORDS:
            raise DataError(f"the vocabulary has {len(self.words)} words; at most {MAX_WORDS} are allowed")
        for word, count in Counter(self.words).items():
            if count > 1 or word.split() != [word]:
                raise DataError(f"{word!r} is {'repeated' if count > 1 else 'not one word'} in the vocabulary")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def tokens(self) -> Mapping[str, int]:
        """Each word's token."""
        return {word: token for token, word in enumerate(self.words)}

    def encode(self, caption: str, longest: int | None = None) -> list[int]:
        """The start token, the tokens of at most ``longest`` words, and the end token.

        A word that is not in the vocabulary, or is spelled like a special token, is `UNKNOWN`.
        """
        known = (self.tokens.get(word, UNKNOWN) for word in caption.split()[:longest])
        return [START, *(token if token > UNKNOWN else UNKNOWN for token in known), END]

    def decode(self, tokens: Iterable[int]) -> str:
        """The words before the first end token, without pads and starts, separated by a space.

        Raises:
            DataError: a token is not in the vocabulary.
        """
        words = []
        for token in tokens:
            if not 0 <= token < len(self.words):
                raise DataError(f"a token is {token}; the vocabulary has 0 to {len(self.words) - 1}")
            if token == END:
                break
            if token not in (PAD, START):
                words.append(self.words[token])
        return " ".join(words)

    def write(self, path: Path) -> None:
        """Write one word per line; a word's token is the number of its line, from 0."""
        path.write_text("".join(f"{word}\n" for word in self.words), "utf-8", newline="\n")


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int = 1) -> Vocabulary:
    """The words that occur at least ``min_count`` times in the ``captions`` of all images, the most frequent first.

    Raises:
        DataError: there is none, or `Vocabulary` refuses one.
    """
    counts = Counter(word for references in captions for caption in references for word in caption.split())
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    if not kept:
        raise DataError(f"min_count is {min_count}; no word occurs that often in the captions")
    return Vocabulary((*SPECIAL, *(word for _, word in kept)))
