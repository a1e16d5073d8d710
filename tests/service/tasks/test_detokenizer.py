from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from service.engine import Model
from service.errors import InternalError, InvalidArgument
from service.package import Loop
from service.package.loop import Steps
from service.package.loop_outputs import Text
from service.package.token_choice import TokenChoice
from service.tasks.detokenizer import Detokenizer, read_words

_loop: Any = Loop.model_construct  # of what is looked at here
PIECES = ("(end)", "a", "cat", "sat")


def spoken(separator: str = " ", end: int | None = 0) -> Detokenizer:
    model = SimpleNamespace(name="captions", package=SimpleNamespace(vocabulary=PIECES))
    text = SimpleNamespace(output="token", separator=separator)
    loop = SimpleNamespace(text=text, end=None if end is None else SimpleNamespace(value=end))
    return Detokenizer(cast(Model, model), cast(Loop, loop))


def say(spoken: Detokenizer, *steps: Any) -> list[str]:
    """The whole text of each row."""
    return ["".join(row) for row in zip(*(spoken.added_text(np.array(tokens)) for tokens in steps), strict=True)]


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
        spoken().added_text(np.array([token]))


def test_a_piece_is_told_bare_and_none_after_the_end() -> None:
    said = spoken()
    assert [said.pieces(np.array(tokens)) for tokens in ([1, 2], [2, 0], [0, 3])] == [
        ["a", "cat"],
        ["cat", None],
        [None, None],
    ]
    assert said.text(["a", "cat"]) == "a cat"


def reader(separator: str = " ", pieces: tuple[str, ...] = PIECES, never: tuple[int, ...] = ()) -> Model:
    package = SimpleNamespace(vocabulary=pieces, tokens={piece: token for token, piece in enumerate(pieces)})
    loop = _loop(
        steps=Steps(default=4, minimum=1, maximum=4),
        text=Text(output="token", vocabulary="words.txt", separator=separator),
        choice=TokenChoice(output="log_probabilities", never=never),
    )
    return cast(Model, SimpleNamespace(name="captions", package=package, program=loop))


def test_words_are_read_as_the_vocabulary_has_them_or_in_lower_case() -> None:
    assert read_words(reader(), "a cat") == (1, 2)
    assert read_words(reader(), " A\tCAT\n") == (1, 2)
    assert read_words(reader(pieces=("Cat", "cat")), "Cat cat CAT") == (0, 1, 1)
    assert read_words(reader(), "") == read_words(reader(), "  ") == ()


def test_words_are_separated_as_they_are_joined() -> None:
    assert read_words(reader("-"), "a-cat") == (1, 2)
    assert read_words(reader("", ("a", "b", " ")), "ab a") == (0, 1, 2, 0)
    with pytest.raises(InvalidArgument, match="prefix has 'a cat'"):
        read_words(reader("-"), "a cat")


@pytest.mark.parametrize(("separator", "piece"), [(" ", " a "), ("-", "a-"), ("", "a")])
def test_more_words_than_steps_are_refused_without_being_read(separator: str, piece: str) -> None:
    assert read_words(reader(separator), (piece * 4).rstrip("-")) == (1, 1, 1, 1)
    with pytest.raises(InvalidArgument, match="prefix has over 4 words; model 'captions' allows at most 4"):
        read_words(reader(separator), piece * 1_000_000)


@pytest.mark.parametrize("text", ["dog", "a dog", "(end)"])
def test_what_is_no_word_that_may_be_said_is_refused(text: str) -> None:
    word = text.split()[-1].replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(
        InvalidArgument, match=f"prefix has '{word}'; model 'captions' allows the 4 words of its vocabulary"
    ):
        read_words(reader(never=(0,)), text)


def test_without_a_vocabulary_no_text_can_be_read() -> None:
    model = cast(Model, SimpleNamespace(name="chars", program=_loop(text=None)))
    assert read_words(model, "") == ()
    with pytest.raises(InvalidArgument, match="prefix is 'a'; model 'chars' has no vocabulary"):
        read_words(model, "a")
