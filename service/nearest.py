"""Which known names a misspelt one may have meant; errors end with it."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 3
_COMPARED = 80  # characters of a stranger's name: comparing costs their product with each known name's


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'epochs'?"``, with up to `MOST` names of ``known``, nearest first; "" where none is near."""
    found = get_close_matches(name[:_COMPARED], list(known), n=MOST)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""
