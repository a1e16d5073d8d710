"""Reads a task's request over HTTP: a form, JSON or a bare file, checked strictly against the task's fields."""

import base64
import re
from binascii import Error as NoBase64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin
from urllib.parse import parse_qsl

import orjson
from pydantic.fields import FieldInfo

from service.errors import InvalidArgument
from service.nearest import did_you_mean
from service.surfaces.http.body import check_json_type, header
from service.surfaces.http.disconnect import Scope
from service.surfaces.http.multipart import Part, read_parts
from service.surfaces.json_fields import json_object, read_json, typed
from service.tasks.task import Ask

Kind = Literal["file", "text", "whole number", "number", "true or false"]
Values = dict[str, Any]

_KINDS: dict[type, Kind] = {bytes: "file", str: "text", int: "whole number", float: "number", bool: "true or false"}
_WHERE = "request"
_MAX_DIGITS = 19  # of a seed
_MAX_WHOLE = 2**53  # beyond it, a float may differ from the number that was written
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_MAX_NUMBER = 40
_TRUTHS = {"true": True, "false": False}
_MAX_ECHO = 80
# Bytes of a JSON request outside its strings: many small values would take a hundred times the body's memory.
_MAX_BESIDE = 64 << 10
_MAX_BESIDE_EACH = 256  # more for each of several items
# Content types of a bare file. Which image format it has, its own bytes say.
_BARE = re.compile("image/.*|application/octet-stream")


class AskField(NamedTuple):
    """One field: its kind, or a list of ``several``. Unless ``needed`` it may be left out, and has its ``default``."""

    kind: Kind
    several: bool
    needed: bool
    default: Any = None


@cache
def fields_of(ask: type[Ask]) -> Mapping[str, AskField]:
    """The fields of a request by name, the needed ones first."""
    found = {name: _field(field.annotation, field) for name, field in ask.model_fields.items()}
    return dict(sorted(found.items(), key=lambda item: not item[1].needed))


@cache
def _files_of(ask: type[Ask]) -> Sequence[str]:
    return [name for name, field in fields_of(ask).items() if field.kind == "file"]


def read_ask(ask: type[Ask], scope: Scope, body: bytes, most: int) -> Ask:
    """The request in ``body``; a list in it may have ``most`` items.

    Raises:
        InvalidArgument: naming the field, what it is and what is allowed.
    """
    fields = fields_of(ask)
    kind = header(scope, b"content-type").partition(b";")[0].strip().lower().decode("latin-1")
    files = _files_of(ask)
    if not files:
        values = _from_json(fields, _json_of(scope, body, most))
    elif kind == "multipart/form-data":
        wanted = most if fields[files[0]].several else 1
        values = _from_form(fields, _parts(scope, body, fields, wanted))
    elif kind == "application/json":
        values = _from_json(fields, _read_json(body, most))
    elif _BARE.fullmatch(kind) and not fields[files[0]].several:
        return ask.of({**_from_query(fields, scope, files[0]), files[0]: body})
    else:
        ways = "multipart/form-data or application/json" + ("" if fields[files[0]].several else ", or an image's type")
        found = repr(kind[:_MAX_ECHO]) if kind else "missing"
        raise InvalidArgument(f"content-type is {found}; it must be {ways}")
    _check_no_query(fields, scope)
    return ask.of(values)


def _field(annotation: Any, field: FieldInfo) -> AskField:
    if get_origin(annotation) is list:
        return _field(get_args(annotation)[0], field)._replace(several=True)
    while get_origin(annotation) not in (None, *_KINDS):
        annotation = next(each for each in get_args(annotation) if each is not NoneType)
    needed = field.is_required()
    return AskField(_KINDS[annotation], False, needed, None if needed else field.default)


# A form


def _parts(scope: Scope, body: bytes, fields: Mapping[str, AskField], files: int) -> Mapping[str, Sequence[Part]]:
    content_type = header(scope, b"content-type").decode("latin-1")
    found: dict[str, list[Part]] = defaultdict(list)
    for part in read_parts(content_type, body, files=files, texts=len(fields)):
        if part.name not in fields:
            raise _unknown("form field", part.name, fields)
        found[part.name].append(part)
    return found


def _from_form(fields: Mapping[str, AskField], parts: Mapping[str, Sequence[Part]]) -> Values:
    """The values of the parts. An optional field that is left out has its default."""
    came = {name: field for name, field in fields.items() if field.needed or name in parts}
    return {name: _of_parts(name, field, parts.get(name, ())) for name, field in came.items()}


def _of_parts(name: str, field: AskField, parts: Sequence[Part]) -> Any:
    if field.several:
        return [_file(f"{name}[{i}]", part) for i, part in enumerate(parts)]
    if len(parts) > 1:
        raise InvalidArgument(f"form field {name!r} appears {len(parts)} times; once is allowed")
    part = parts[0] if parts else None
    if field.kind == "file":
        return _file(name, part)
    if part is not None and part.is_file:
        raise InvalidArgument(f"form field {name!r} is a file; it must be text")
    return _of_text(f"form field {name!r}", field, part.content if part else b"")


def _file(name: str, part: Part | None) -> bytes:
    if part is None or not part.is_file:
        sent = "text" if part is not None and part.content else "missing"
        raise InvalidArgument(f"form field {name!r} is {sent}; it must be a file")
    return part.content


def _of_text(where: str, field: AskField, content: bytes) -> Any:
    try:
        text = _plain(content.decode())
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error
    if field.kind == "text":
        return text
    if not text:
        return field.default
    if field.kind == "true or false":
        if text.lower() not in _TRUTHS:  # generated clients write Python's True
            raise InvalidArgument(f"{where} is {text[:40]!r}; it must be true or false")
        return _TRUTHS[text.lower()]
    if field.kind == "whole number":
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            raise InvalidArgument(f"{where} is {text[:40]!r}; it must be a whole number")
        return int(text)
    if not (len(text) <= _MAX_NUMBER and _NUMBER.fullmatch(text)):
        raise InvalidArgument(f"{where} is {text[:40]!r}; it must be a number")
    return float(text)


def _plain(value: str) -> str:
    """Undo what BentoML's client does: it sends each text as JSON, "lenet5" in quotes and null for None."""
    if value.startswith('"'):
        with suppress(orjson.JSONDecodeError):
            return str(orjson.loads(value))
    return "" if value == "null" else value


# The URL


def _from_query(fields: Mapping[str, AskField], scope: Scope, file: str) -> Values:
    """The options in the URL, beside a bare file."""
    found: Values = {}
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    for name, value in pairs:
        if name not in fields or name == file:
            raise _unknown("query parameter", name, [key for key in fields if key != file])
        if name in found:
            raise InvalidArgument(f"query parameter {name!r} appears twice; once is allowed")
        found[name] = _of_text(f"query parameter {name!r}", fields[name], value.encode())
    return found


def _check_no_query(fields: Mapping[str, AskField], scope: Scope) -> None:
    """Refuse options in the URL if the body has them, because they would be ignored."""
    if not scope["query_string"]:
        return
    if pairs := parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        name = pairs[0][0][:_MAX_ECHO]
        raise InvalidArgument(
            f"query parameter {name!r} is not allowed; options must be fields of the body: {sorted(fields)}"
        )


# JSON


def _json_of(scope: Scope, body: bytes, most: int) -> Any:
    """The JSON in the body, whatever its content type; if it is not JSON, a wrong type is reported first."""
    try:
        return _read_json(body, most)
    except InvalidArgument:
        check_json_type(scope["headers"])
        raise


def _read_json(body: bytes, most: int) -> Any:
    """The JSON in the body. Parsing it blocks other threads, so its size is checked before."""
    allowed = _MAX_BESIDE + most * _MAX_BESIDE_EACH
    if len(body) > allowed and _is_over_beside_strings(body, allowed):
        raise InvalidArgument(f"{_WHERE}: the JSON has over {allowed} bytes outside its strings, the most allowed")
    return read_json(body)


def _is_over_beside_strings(body: bytes, allowed: int) -> bool:
    """Whether the JSON has more than ``allowed`` bytes outside its strings."""
    if b"\\" in body:  # only in strings; without the escapes, a quote is a string's end
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    pieces = body.split(b'"', 2 * allowed)  # every other piece is outside a string; the last is the rest
    return sum(map(len, pieces[::2])) > allowed


def _from_json(fields: Mapping[str, AskField], came: Any) -> Values:
    entry = json_object(_WHERE, came, fields)
    return {name: _of_json(name, field, entry) for name, field in fields.items()}


def _of_json(name: str, field: AskField, entry: dict[str, Any]) -> Any:
    if field.several:
        values: list[Any] = typed(_WHERE, entry, name, list)
        if not {str}.issuperset(map(type, values)):
            at = next(i for i, value in enumerate(values) if type(value) is not str)
            raise InvalidArgument(f"{_WHERE}: {name}[{at}] is not a string; {name!r} must be a list of strings")
        return [_decoded(f"{name}[{i}]", field, value) for i, value in enumerate(values)]
    if field.kind in ("file", "text"):
        value = typed(_WHERE, entry, name, str) if field.needed else typed(_WHERE, entry, name, str, "")
        return _decoded(name, field, value)
    if field.kind == "true or false":
        return typed(_WHERE, entry, name, bool, field.default)
    value = entry.get(name)
    if field.kind == "whole number":
        # 3.0 is one, too, as in JSON schemas.
        if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_WHOLE:
            return int(value)
        return typed(_WHERE, entry, name, int, None)
    return float(value) if type(value) is int else typed(_WHERE, entry, name, float, None)


def _decoded(name: str, field: AskField, text: str) -> str | bytes:
    if field.kind == "text":
        return text
    try:
        return base64.b64decode(text, validate=True)
    except (NoBase64, ValueError) as error:
        raise InvalidArgument(f"{_WHERE}: {name!r} must be a file's bytes in base64: {error}") from error


def _unknown(what: str, name: str, known: Mapping[str, Any] | Sequence[str]) -> InvalidArgument:
    near = did_you_mean(name, known)
    return InvalidArgument(f"unknown {what} {name[:_MAX_ECHO]!r}; known are {sorted(known)}{near}")
