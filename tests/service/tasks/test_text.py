from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from service.engine import Model
from service.errors import InternalError
from service.package import Loop
from service.tasks.text import Spoken

PIECES = ("(end)", "a", "cat", "sat")


def spoken(separator: str = " ", end: int | None = 0) -> Spoken:
    model = SimpleNamespace(name="captions", package=SimpleNamespace(vocabulary=PIECES))
    text = SimpleNamespace(output="token", separator=separator)
    loop = SimpleNamespace(text=text, end=None if end is None else SimpleNamespace(value=end))
    return Spoken(cast(Model, model), cast(Loop, loop))


def say(spoken: Spoken, *steps: Any) -> list[str]:
    """The whole text of each row."""
    return ["".join(row) for row in zip(*(spoken.say(np.array(tokens)) for tokens in steps), strict=True)]


def test_pieces_are_joined_by_the_separator() -> None:
    assert say(spoken(), [1], [2], [3]) == ["a cat sat"]
    assert say(spoken(""), [1], [2]) == ["acat"]


def test_the_end_token_is_left_out_and_nothing_follows_it() -> None:
    assert say(spoken(), [1], [2], [0], [0]) == ["a cat"]
    assert say(spoken(), [0]) == [""]


def test_rows_end_by_themselves() -> None:
    assert say(spoken(), [1, 2, 0], [2, 0, 0], [3, 0, 0]) == ["a cat sat", "cat", ""]


def test_without_an_end_token_every_token_is_said() -> None:
    assert say(spoken(end=None), [0], [1]) == ["(end) a"]


def test_tokens_may_come_as_a_column() -> None:
    assert say(spoken(), [[1], [2]], [[3], [3]]) == ["a sat", "cat sat"]


@pytest.mark.parametrize("token", [4, -1])
def test_a_token_without_a_piece_is_an_error_that_names_both(token: int) -> None:
    with pytest.raises(InternalError, match=f"'captions' emitted token {token}; its vocabulary has 4"):
        spoken().say(np.array([token]))
