"""Which of several media types a caller prefers, by the Accept header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from service.errors import InvalidArgument
from service.surfaces.http.disconnect import Scope

_MAX_ECHO = 80
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


class _Range(NamedTuple):
    """One entry of the header: a type, ``image/*`` or ``*/*``, and its quality, 0 to 1."""

    kind: str
    quality: float


def preferred(scope: Scope, offered: Sequence[str]) -> str:
    """The one of the ``offered`` media types with the highest quality; the first one if there is no Accept header.

    Of types with the same quality, the one is taken that the caller names more precisely, and then the one that is
    offered first. Parameters of a media type other than its quality are ignored.

    Raises:
        InvalidArgument: the header allows none of them, or a quality in it is no number from 0 to 1.
    """
    text = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
    ranges = [_range(each) for each in text.split(",") if each.strip()]
    if not ranges:
        return offered[0]
    ranked = [(*_quality(ranges, kind), -place, kind) for place, kind in enumerate(offered)]
    quality, _, _, kind = max(ranked)
    if not quality:
        raise InvalidArgument(f"accept is {text[:_MAX_ECHO]!r}; it must allow {' or '.join(offered)}")
    return kind


def _range(text: str) -> _Range:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name == "q":
            if not _QUALITY.fullmatch(value):
                raise InvalidArgument(f"accept has the quality {value[:_MAX_ECHO]!r}; it must be a number from 0 to 1")
            return _Range(kind, float(value))
    return _Range(kind, 1.0)


def _quality(ranges: Sequence[_Range], kind: str) -> tuple[float, int]:
    """The quality of a media type, by the most precise range that it is in, and how precise that is; 0 if in none."""
    for precision, wanted in ((2, kind), (1, f"{kind.partition('/')[0]}/*"), (0, "*/*")):
        found = [each.quality for each in ranges if each.kind == wanted]
        if found:
            return max(found), precision
    return 0.0, 0
