"""`chars` with a vocabulary: what it emits is also said in words."""

from pathlib import Path
from typing import Any

from tests.packages import change_card, replace_file
from tests.step_packages import END_TOKEN, chars, write_chars

PIECES = ["(end)", "a", "b\u2028c", " d", "é", "f", "", "h", "i", "j", "k", "l"]
SEPARATOR = "-"


def write_words(repository: Path, name: str = "words", **text: Any) -> Path:
    """Write it; ``text`` goes into that section."""
    folder = write_chars(repository, name)
    replace_file(folder, "vocabulary.txt", "\n".join([*PIECES, ""]).encode())
    section = {"output": "next_token", "vocabulary": "vocabulary.txt", "separator": SEPARATOR, **text}
    change_card(folder, "loop.text", section)
    return folder


def said_pieces(seed: int, steps: int, token: int = 1, row: int = 0) -> list[str]:
    """What a request must say at each step."""
    tokens = chars(seed, steps, row, token)
    pieces = [PIECES[token] if token != END_TOKEN else "" for token in tokens]
    separators = ["", *(SEPARATOR if token != END_TOKEN else "" for token in tokens[1:])]
    return [separator + piece for separator, piece in zip(separators, pieces, strict=True)]
