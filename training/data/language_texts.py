"""Texts of many languages, for language recognition (I2DL XI: many to one)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from training.data.declaration import articles, read_declaration
from training.data.languages import CODES, FOLDER, LANGUAGES, Texts, labelled, read_bytes
from training.errors import DataError


@dataclass(frozen=True)
class ToLearn:
    """What a recogniser learns from: sentences of the ``declaration``, texts of program ``interfaces``, and ``words``.

    Each of the ``words`` is a text of its own.
    """

    declaration: Texts
    interfaces: Texts
    words: Texts


@dataclass(frozen=True)
class HeldOut:
    """What a recogniser is measured on: ``everyday`` sentences, and sentences of the ``declaration``."""

    everyday: Texts
    declaration: Texts

    def __len__(self) -> int:
        return len(self.everyday) + len(self.declaration)


@dataclass(frozen=True)
class LanguageTexts:
    """Texts in `LANGUAGES`, with their files in ``folder``, whose README says where each comes from.

    The everyday sentences are translations of each other, of other sentences in validation than in test.
    """

    folder: Path = FOLDER
    labels: tuple[str, ...] = field(default=tuple(LANGUAGES.values()), init=False)
    name: str = field(default="texts", init=False)
    title: str = field(default="Universal Declaration of Human Rights and texts of programs", init=False)
    licence: str = field(default="public domain, Apache-2.0, BSD-3-Clause and MIT", init=False)
    homepage: str = field(default="training/data/texts/README.md", init=False)

    @property
    def files(self) -> Mapping[str, str]:
        """The name of each file and the sha256 of its content."""
        return {
            str(path.relative_to(self.folder)): sha256(read_bytes(path)).hexdigest()
            for path in (
                *(self.folder / part / f"{code}.txt" for part in ("declaration", "interfaces") for code in CODES),
                self.folder / "words.txt",
                *(self._everyday(split) for split in ("validation", "test")),
            )
        }

    def training(self) -> ToLearn:
        """The sentences of 22 articles in every language, texts of interfaces, and frequent words."""
        words = [(code, word) for code, line in parse_texts(self.folder / "words.txt") for word in line.split("\t")]
        interfaces = [(code, text) for code in CODES for text in read_lines(self.folder / "interfaces" / f"{code}.txt")]
        return ToLearn(self._declaration("training"), labelled(interfaces), labelled(words))

    def validation(self) -> HeldOut:
        """Ten everyday sentences in every language, and the sentences of three articles."""
        return self._held_out("validation")

    def test(self) -> HeldOut:
        """Twenty everyday sentences in every language, and the sentences of six articles, for `evaluate`."""
        return self._held_out("test")

    def _held_out(self, split: str) -> HeldOut:
        return HeldOut(labelled(parse_texts(self._everyday(split))), self._declaration(split))

    def _declaration(self, split: str) -> Texts:
        return read_declaration(self.folder / "declaration", articles()[split])

    def _everyday(self, split: str) -> Path:
        return self.folder / "everyday" / f"{split}.txt"


def parse_texts(path: Path) -> list[tuple[str, str]]:
    """The language's code and the text in each line of the file ``path``.

    Raises:
        DataError: it cannot be read, or a line is not a code of `LANGUAGES`, a tab and a text in UTF-8.
    """
    found = []
    for number, line in enumerate(read_lines(path), 1):
        code, _, text = line.partition("\t")
        if code not in LANGUAGES or not text.strip():
            raise DataError(f"{path.name}, line {number}: {line[:40]!r} is not a language's code, a tab and a text")
        found.append((code, text))
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of the file ``path``.

    Raises:
        DataError: it cannot be read, is not UTF-8, or has an empty line.
    """
    try:
        lines = read_bytes(path).decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 ({error})") from error
    if not all(map(str.strip, lines)):
        raise DataError(f"{path.name}: a line is empty")
    return lines
