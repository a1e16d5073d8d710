"""What errors say of known names: which of them a misspelt one may have meant, and which there are."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

MOST = 3
_COMPARED = 80  # characters of a stranger's name: comparing costs their product with each known name's
_MOST_COMPARED = 500  # known names, those first that begin as the stranger's does
_BEGINNING = 3
_MOST_LISTED = 20


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'epochs'?"``, with up to `MOST` names of ``known``, nearest first; "" where none is near."""
    names = list(known)
    if len(names) > _MOST_COMPARED:
        alike = (known_name for known_name in names if known_name[:_BEGINNING] == name[:_BEGINNING])
        names = list(dict.fromkeys([*alike, *names]))[:_MOST_COMPARED]
    found = get_close_matches(name[:_COMPARED], names, n=MOST)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def listed(names: Collection[str]) -> str:
    """The names as a list; of many only the first ones, and how many more there are."""
    more = len(names) - _MOST_LISTED
    return f"{list(islice(names, _MOST_LISTED))}{f' and {more} more' if more > 0 else ''}"
