"""A package on disk, read and verified."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from service.errors import InvalidPackage
from service.package.caption import CaptionCard
from service.package.card import CARD, Card, ClassifyCard
from service.package.cards import CARDS
from service.package.files import MAX_TEXT_BYTES, check_folder, is_file, read, sha256
from service.package.generate import GenerateCard
from service.package.loop import Loop
from service.package.segment import SegmentCard
from service.package.text_classify import TextClassifyCard
from service.package.token_choice import TOKEN

MAX_CARD_BYTES = 1 << 20

C = TypeVar("C", bound=Card)


class Package:
    """A verified package: its folder, its card, and the content of its small files.

    ``tensor_labels`` has the labels of each tensor that has some, ``vocabulary`` the pieces of a loop's text, by token.
    """

    def __init__(self, folder: Path, card: Card) -> None:
        self.folder = folder
        self.card = card
        self.tensor_labels = {tensor: _read_labels(folder / file) for tensor, file in card.label_files.items()}
        text = card.program.text if isinstance(card.program, Loop) else None
        self.vocabulary = _read_vocabulary(folder / text.vocabulary) if text else ()

    @property
    def classifier(self) -> ClassifyCard:
        """The card of a classifier. Raises `InvalidPackage` if it is of another task."""
        return self._card_of(ClassifyCard, "a classifier")

    @property
    def captioner(self) -> CaptionCard:
        """The card of a captioner. Raises `InvalidPackage` if it is of another task."""
        return self._card_of(CaptionCard, "a captioner")

    @cached_property
    def tokens(self) -> dict[str, int]:
        """The token of each piece of the vocabulary; for equal pieces, the first one's."""
        return {piece: token for token, piece in reversed(list(enumerate(self.vocabulary)))}

    @property
    def text_classifier(self) -> TextClassifyCard:
        """The card of a classifier of texts. Raises `InvalidPackage` if it is of another task."""
        return self._card_of(TextClassifyCard, "a text classifier")

    @property
    def segmenter(self) -> SegmentCard:
        """The card of a segmenter. Raises `InvalidPackage` if it is of another task."""
        return self._card_of(SegmentCard, "a segmenter")

    @property
    def generator(self) -> GenerateCard:
        """The card of a generator. Raises `InvalidPackage` if it is of another task."""
        return self._card_of(GenerateCard, "a generator")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of the classes, of a model that has classes.

        Raises:
            InvalidPackage: it has none.
        """
        for labels in self.tensor_labels.values():  # if there are several, they are the same
            return labels
        raise InvalidPackage(f"{self}: its task is {self.card.task!r}, whose models have no labels")

    def _card_of(self, kind: type[C], whose: str) -> C:
        if not isinstance(self.card, kind):
            wanted = kind.model_fields["task"].default
            raise InvalidPackage(f"{self}: its task is {self.card.task!r}; {whose}'s is {wanted!r}")
        return self.card

    def path(self, file: str) -> Path:
        """The path of one of the files the card names."""
        return self.folder / file

    def __repr__(self) -> str:
        return f"Package({self.card.name}/{self.card.version})"


def read_package(folder: Path) -> Package:
    """Read and verify the package in ``folder``.

    Raises:
        InvalidPackage: model.json is missing, invalid or does not match its folder, or a file is missing, has another
            checksum than on the card, or is not a regular file inside the folder.
    """
    check_folder(folder)
    card = read_card(folder / CARD)
    if (folder.parent.name, folder.name) != (card.name, str(card.version)):
        raise InvalidPackage(f"{folder}: the card says {card.name}/{card.version}, which is not the folder")
    _verify_files(folder, card.files)
    package = Package(folder, card)
    _check_labels(package)
    if isinstance(card, ClassifyCard | TextClassifyCard):
        _check_top_k(package, card)
    if isinstance(card.program, Loop):
        _check_vocabulary(package, card.program)
    return package


def read_card(path: Path) -> Card:
    """The card in the file ``path``; its folder and files are not verified yet.

    Raises:
        InvalidPackage: it is missing, too large or invalid.
    """
    if not is_file(path):
        raise InvalidPackage(f"{path}: no such file; {_neither(path.parent)}")
    content = read(path, MAX_CARD_BYTES)
    try:
        return CARDS.validate_json(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors())
        raise InvalidPackage(f"{path}: {problems}") from error


def _neither(folder: Path) -> str:
    others = sorted(path.name for path in folder.glob("*.onnx"))
    hint = f"; there is {others[0]}: without a card, its name must be model.onnx" if others else ""
    return f"a package needs a card, or model.onnx alone{hint}"


def _read_labels(path: Path) -> tuple[str, ...]:
    return tuple(_read_text(path).splitlines())


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    # Not splitlines, which also splits at other characters that a piece may contain.
    return tuple(_read_text(path).removesuffix("\n").split("\n"))


def _read_text(path: Path) -> str:
    try:
        text = read(path, MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidPackage(f"{path}: {error}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_labels(package: Package) -> None:
    """Check that each output that has labels has one for each of its columns, the classes."""
    outputs = {output.name: output for output in package.card.program.outputs}
    for tensor, file in package.card.label_files.items():
        if tensor not in outputs:
            continue  # an input of a class, which says nothing about how many there are
        labels, classes = len(package.tensor_labels[tensor]), outputs[tensor].shape[-1]
        if labels != classes:
            raise InvalidPackage(f"{package.path(file)} has {labels} labels; the graph has {classes} classes")


def _check_top_k(package: Package, card: ClassifyCard | TextClassifyCard) -> None:
    top_k, classes = card.parameters.top_k, len(package.labels)
    if top_k.minimum < 1 or top_k.maximum > classes:
        raise InvalidPackage(
            f"{package.path(CARD)}: parameters.top_k is {top_k.minimum} to {top_k.maximum}; with {classes} labels it "
            f"may be 1 to {classes}"
        )


def _check_vocabulary(package: Package, loop: Loop) -> None:
    """Check that there is a piece for each token; if the graph chooses tokens itself, their number is not known."""
    if loop.text is None or loop.choice is None or loop.text.output != TOKEN.name:
        return
    pieces, tokens = len(package.vocabulary), loop.choice.tokens(loop.step)
    if pieces != tokens:
        raise InvalidPackage(f"{package.path(loop.text.vocabulary)} has {pieces} pieces; the graph has {tokens} tokens")


def _verify_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, wanted in files.items():
        path = folder / name
        if not is_file(path):
            raise InvalidPackage(f"{path} is missing; the card names it")
        if (found := sha256(path)) != wanted:
            raise InvalidPackage(f"{path} has sha256 {found}; the card says {wanted}")
