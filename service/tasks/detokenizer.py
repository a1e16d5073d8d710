"""Between tokens and text: what a step loop emits, in the pieces of its vocabulary, and a prefix as tokens."""

from service.engine import Model
from service.engine.tensors import Tensor
from service.errors import InternalError, InvalidArgument
from service.package import Loop

_ECHO = 80  # how many characters of the given text a message repeats


class Detokenizer:
    """Turns the tokens of one request into text, step by step; after its end token a row adds nothing."""

    def __init__(self, model: Model, loop: Loop) -> None:
        assert loop.text is not None
        self._name = model.name
        self._pieces = model.package.vocabulary
        self._separator = loop.text.separator
        self._end = loop.end.value if loop.end else None
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def pieces(self, tokens: Tensor) -> list[str | None]:
        """The piece of each row's token, None for a row that has ended; ``tokens`` is (rows,) or (rows, 1).

        Raises:
            InternalError: a token has no piece.
        """
        return [self._piece(row, int(token)) for row, token in enumerate(tokens.reshape(-1))]

    def added_text(self, tokens: Tensor) -> list[str]:
        """What this step adds to the text of each row, by its ``tokens`` (rows,) or (rows, 1).

        Raises:
            InternalError: a token has no piece.
        """
        return [self._added(row, piece) for row, piece in enumerate(self.pieces(tokens))]

    def text(self, pieces: list[str]) -> str:
        """The whole text of these pieces."""
        return self._separator.join(pieces)

    def _piece(self, row: int, token: int) -> str | None:
        if row in self._ended or token == self._end:
            self._ended.add(row)
            return None
        if not 0 <= token < len(self._pieces):
            raise InternalError(f"model {self._name!r} emitted token {token}; its vocabulary has {len(self._pieces)}")
        return self._pieces[token]

    def _added(self, row: int, piece: str | None) -> str:
        if piece is None:
            return ""
        separator = self._separator if row in self._begun else ""
        self._begun.add(row)
        return separator + piece


def read_words(model: Model, text: str) -> tuple[int, ...]:
    """The tokens of ``text``: its pieces between separators, each as the vocabulary has it, or in lower case.

    If the separator is a blank, any run of blanks separates. If it is empty, each character is a piece.

    Raises:
        InvalidArgument: the model has no vocabulary, its vocabulary lacks a piece, the model never chooses a piece, or
            there are more pieces than steps.
    """
    if not text:
        return ()
    loop = model.program if isinstance(model.program, Loop) else None
    if loop is None or loop.text is None:
        raise InvalidArgument(f"prefix is {text[:_ECHO]!r}; model {model.name!r} has no vocabulary and allows none")
    separator, most = loop.text.separator, loop.steps.maximum
    pieces = text.split(None if separator.isspace() else separator, most) if separator else list(text[: most + 1])
    if len(pieces) > most:
        raise InvalidArgument(f"prefix has over {most} words; model {model.name!r} allows at most {most}")
    never = loop.choice.never if loop.choice else ()
    tokens = model.package.tokens
    found = [tokens.get(piece, tokens.get(piece.lower(), -1)) for piece in pieces]
    for piece, token in zip(pieces, found, strict=True):
        if token == -1 or token in never:
            raise InvalidArgument(
                f"prefix has {piece[:_ECHO]!r}; model {model.name!r} allows the {len(tokens)} words of its vocabulary"
            )
    return tuple(found)
