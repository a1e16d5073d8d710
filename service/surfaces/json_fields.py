"""JSON that a caller sent: parsed, and its values checked for their types."""

from collections.abc import Collection
from typing import Any

import orjson

from service.errors import InvalidArgument

_MAX_KEY = 80
_MAX_SHOWN = 40
_REQUIRED: Any = object()
_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    float: "a number",
}


def read_json(data: memoryview | bytes) -> Any:
    """The value in ``data``.

    Raises:
        InvalidArgument: it is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"the request is not JSON: {error}") from error


def json_object(where: str, value: Any, known: Collection[str] | None = None) -> dict[str, Any]:
    """``value``, if it is an object with no other keys than ``known``; with any keys where that is None.

    Raises:
        InvalidArgument: it is not; the message says ``where``.
    """
    if type(value) is not dict:
        raise InvalidArgument(f"{where} is {kind_of(value)}; it must be an object")
    unknown = next((key for key in value if known is not None and key not in known), None)
    if unknown is not None:
        raise InvalidArgument(f"{where}: unknown key {unknown[:_MAX_KEY]!r}; known are {sorted(known or ())}")
    return value


def typed(where: str, entry: dict[str, Any], key: str, kind: type, default: Any = _REQUIRED) -> Any:
    """The value at ``key``, of that type; ``default`` where it is missing or null.

    Raises:
        InvalidArgument: it is of another type, or missing where there is no default.
    """
    value = entry.get(key, default)
    if value is None and default is not _REQUIRED:  # clients that write every optional key write null
        return default
    if value is _REQUIRED:
        raise InvalidArgument(f"{where}: {key!r} is missing")
    if type(value) is not kind:
        raise InvalidArgument(f"{where}: {key!r} is {kind_of(value)}; it must be {_NAMES[kind]}")
    return value


def kind_of(value: Any) -> str:
    """The JSON type of a value, with its article."""
    return "a boolean" if type(value) is bool else _NAMES.get(type(value), "null")


def shown(value: Any) -> str:
    """The value as a message may show it: short, whatever was sent."""
    if isinstance(value, list | dict):  # written out, a long one would hold up the loop
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return repr(value[:_MAX_SHOWN] if isinstance(value, str) else value)
