"""Tokens to text: what a loop emits, said in the pieces of its vocabulary."""

from service.engine import Model
from service.engine.tensors import Tensor
from service.errors import InternalError
from service.package import Loop


class Spoken:
    """The text of one request, said step by step; a row that has met its end token says nothing more."""

    def __init__(self, model: Model, loop: Loop) -> None:
        assert loop.text is not None
        self._name = model.name
        self._pieces = model.package.vocabulary
        self._separator = loop.text.separator
        self._end = loop.end.value if loop.end else None
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def say(self, tokens: Tensor) -> list[str]:
        """What one step adds to the text of each row, given its ``tokens`` (rows,) or (rows, 1).

        Raises:
            InternalError: a token has no piece.
        """
        return [self._say(row, int(token)) for row, token in enumerate(tokens.reshape(-1))]

    def _say(self, row: int, token: int) -> str:
        if row in self._ended or token == self._end:
            self._ended.add(row)
            return ""
        if not 0 <= token < len(self._pieces):
            raise InternalError(f"model {self._name!r} emitted token {token}; its vocabulary has {len(self._pieces)}")
        separator = self._separator if row in self._begun else ""
        self._begun.add(row)
        return separator + self._pieces[token]
