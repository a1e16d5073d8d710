"""Messages for an invalid recipe: each key, the value received, and what is allowed or was probably meant."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from service.nearest import did_you_mean
from training.craft.table import Table

SHOWN = 60  # characters of a value in a message
# pydantic's messages speak of Python's types; these use the terms of a TOML file.
WORDS = {
    "model_type": "Input should be a table of keys",
    "dict_type": "Input should be a table of keys",
    "tuple_type": "Input should be a list",
    "int_parsing": "Input should be a valid integer",
    "float_parsing": "Input should be a valid number",
}

Kind = type[Table]


def describe_problems(recipe: Kind, errors: Iterable[Mapping[str, Any]]) -> str:
    """Describe pydantic's ``errors`` key by key; ``recipe`` is the recipe's class.

    A key that may be of several types, such as a count or a share, fails once for each; these are joined by "or".
    """
    wanted: dict[str, list[str]] = {}
    endings: dict[str, str] = {}
    for error in errors:
        key, words, ending = _problem(recipe, error)
        wanted.setdefault(key, []).append(words)
        endings[key] = ending
    lines = {key: f"{' or '.join(words)}{endings[key]}" for key, words in wanted.items()}
    return "; ".join(f"{key}: {line}" if key else line for key, line in lines.items())


def unknown_word(received: Any, allowed: Iterable[str]) -> str:
    """What is wrong with the value ``received`` for a key that takes one of the words ``allowed``."""
    known = ", ".join(map(repr, allowed))
    return f"Input should be one of {known}, not {_short(received)}{_nearest_word(received, known)}"


def _problem(recipe: Kind, error: Mapping[str, Any]) -> tuple[str, str, str]:
    """The dotted key that ``error`` is about, what is wrong with it, and the value received or probably meant."""
    place = error["loc"]
    names, table = _follow(recipe, place)
    key, received, message = ".".join(names), error["input"], str(error["msg"])
    match error["type"]:
        case "extra_forbidden":
            unknown = str(place[-1])
            return ".".join([*names, unknown]), "unknown key", _nearest_key(recipe, table, unknown)
        case "literal_error":
            return key, message, f", not {_short(received)}{_nearest_word(received, error['ctx']['expected'])}"
        case "value_error":
            return key, message.removeprefix("Value error, "), ""
        case "less_than_equal" if isinstance(most := error["ctx"]["le"], float):
            return key, f"Input should be less than or equal to {most:g}", f", not {_short(received)}"
        case "missing":
            return key, message, ""
        case kind:
            return key, WORDS.get(kind, message), f", not {_short(received)}"


def _follow(recipe: Kind, place: Iterable[str | int]) -> tuple[list[str], Kind]:
    """The keys and indices in ``place``, without the types that pydantic tried, and the table they lead to."""
    names, table, named = [], recipe, False
    for part in place:
        if isinstance(part, int):
            names.append(str(part))
        elif named:  # the key of a table among tables that the recipe names, such as its parts
            names.append(part)
            named = False
        elif part in table.model_fields:
            names.append(part)
            annotation = table.model_fields[part].annotation
            table, named = _table(annotation) or table, get_origin(annotation) is dict
    return names, table


def _table(annotation: Any) -> Kind | None:
    """The class of table in an annotation such as ``Transfer | None``; None if the field holds a plain value."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Table)), None)


def _nearest_key(recipe: Kind, table: Kind, unknown: str) -> str:
    """A hint: the nearest key of ``table``, or the one abbreviated, else one of another table, else all its keys."""
    if near := did_you_mean(unknown, table.model_fields) or _abbreviated(unknown, table.model_fields):
        return near
    if elsewhere := [key for key in _keys(recipe) if key.rpartition(".")[2] == unknown]:
        return f"; did you mean {' or '.join(map(repr, elsewhere))}?"
    if table is recipe and (near := did_you_mean(unknown, _keys(recipe)) or _abbreviated(unknown, _keys(recipe))):
        return near
    return f"; the keys are {', '.join(table.model_fields)}"


def _abbreviated(unknown: str, keys: Iterable[str]) -> str:
    """A hint: the key whose words' initials are nearly ``unknown``, as ``learning_rate`` for ``lr``."""
    initials = {"".join(word[0] for word in key.rpartition(".")[2].split("_")): key for key in keys if "_" in key}
    found = get_close_matches(unknown, initials, n=1, cutoff=0.75)
    return f"; did you mean {initials[found[0]]!r}?" if found else ""


def _keys(table: Kind, prefix: str = "") -> Iterator[str]:
    """Every key of ``table`` and of the tables in it, dotted."""
    for name, field in table.model_fields.items():
        yield f"{prefix}{name}"
        if get_origin(field.annotation) is not dict and (inner := _table(field.annotation)):
            yield from _keys(inner, f"{prefix}{name}.")


def _nearest_word(received: Any, expected: str) -> str:
    """A hint: the nearest of the words that pydantic quotes in ``expected``."""
    return did_you_mean(received, re.findall(r"'([^']*)'", expected)) if isinstance(received, str) else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
