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
MAX_BYTES = 1 << 22


@dataclass(frozen=True)
class Vocabulary:
    """Words, each of which has its place in ``words`` as its token; the first four are `SPECIAL`.

    Raises:
        DataError: the first four are others, or a word is empty, has white space in it, or comes twice.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.words[: len(SPECIAL)] != SPECIAL:
            raise DataError(f"a vocabulary begins with {' '.join(SPECIAL)}, not with {' '.join(self.words[:4])!r}")
        if len(self.words) > MAX_WORDS:
            raise DataError(f"a vocabulary of {len(self.words)} words, at most {MAX_WORDS} are used")
        for word, count in Counter(self.words).items():
            if count > 1 or word.split() != [word]:
                raise DataError(f"{word!r} is {'twice in' if count > 1 else 'no word of'} a vocabulary")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def tokens(self) -> Mapping[str, int]:
        """Each word's token."""
        return {word: token for token, word in enumerate(self.words)}

    def encode(self, caption: str, longest: int | None = None) -> list[int]:
        """Start, the tokens of the words, and end; of more than ``longest`` words, the first.

        A word that is not in the vocabulary, or that writes a special token, is `UNKNOWN`.
        """
        known = (self.tokens.get(word, UNKNOWN) for word in caption.split()[:longest])
        return [START, *(token if token > UNKNOWN else UNKNOWN for token in known), END]

    def decode(self, tokens: Iterable[int]) -> str:
        """The words before the first end, without pads and starts, separated by a space.

        Raises:
            DataError: there is no such token.
        """
        words = []
        for token in tokens:
            if not 0 <= token < len(self.words):
                raise DataError(f"token {token}: the vocabulary has 0 to {len(self.words) - 1}")
            if token == END:
                break
            if token not in (PAD, START):
                words.append(self.words[token])
        return " ".join(words)

    def write(self, path: Path) -> None:
        """Write a word a line; the token is the number of the line, from 0."""
        path.write_text("".join(f"{word}\n" for word in self.words), "utf-8", newline="\n")


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int = 1) -> Vocabulary:
    """Of the words that are at least ``min_count`` times in the ``captions`` of all images, the most frequent first.

    Raises:
        DataError: none is, or `Vocabulary` takes one for no word.
    """
    counts = Counter(word for references in captions for caption in references for word in caption.split())
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    if not kept:
        raise DataError(f"no word is {min_count} times in the captions, and a vocabulary needs one")
    return Vocabulary((*SPECIAL, *(word for _, word in kept)))


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary in the file ``path``, as `Vocabulary.write` writes it.

    Raises:
        DataError: naming ``path``: it cannot be read, is too large, or is no vocabulary.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size} bytes, a vocabulary has at most {MAX_BYTES}")
        # No splitlines: it splits at more than ends of lines.
        words = path.read_text("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    try:
        return Vocabulary(tuple(words))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
