"""Hints for unknown names in error messages: the nearest known names, and lists of them."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

MOST = 3
_COMPARED = 80  # characters of the unknown name: comparing costs the product of both lengths
_MOST_COMPARED = 500  # known names; those with the same beginning come first
_BEGINNING = 3
_MOST_LISTED = 20


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'epochs'?"``, with up to `MOST` names of ``known``, nearest first; "" if none is near."""
    names = list(known)
    if len(names) > _MOST_COMPARED:
        alike = (known_name for known_name in names if known_name[:_BEGINNING] == name[:_BEGINNING])
        names = list(dict.fromkeys([*alike, *names]))[:_MOST_COMPARED]
    found = get_close_matches(name[:_COMPARED], names, n=MOST)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def listed(names: Collection[str]) -> str:
    """The names as a list; if there are many, only the first ones and the number of the others."""
    more = len(names) - _MOST_LISTED
    return f"{list(islice(names, _MOST_LISTED))}{f' and {more} more' if more > 0 else ''}"
