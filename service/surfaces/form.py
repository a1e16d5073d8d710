"""Read a multipart form strictly: every field known, none twice, and each of its kind."""

import re
import sys
from collections import defaultdict
from contextlib import suppress
from typing import Any

import orjson
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import InvalidArgument

_MAX_DIGITS = 19  # of a seed
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_MAX_NUMBER = 40
_MAX_ECHO = 80
# Files that are read, for each that is wanted: what is said of too many is the task's to say, while they are few.
_SPARE = 4


class _InMemory(MultiPartParser):
    """The body is in memory already, and bounded; a copy on the disk would help nobody."""

    spool_max_size = sys.maxsize


class Form:
    """A form's fields, by name; each came as often as the list is long."""

    def __init__(self, fields: dict[str, list[Any]]) -> None:
        self._fields = fields

    @classmethod
    async def read(cls, request: Request, known: set[str], max_files: int = 1) -> "Form":
        """The form in the request's body.

        Raises:
            InvalidArgument: it is no multipart form, or not of UTF-8; a field is unknown, or far more files came than
                ``max_files``.
        """
        _check_type(request.headers.get("content-type", ""))
        parser = _InMemory(request.headers, request.stream(), max_files=_SPARE * max_files, max_fields=len(known))
        try:
            items = (await parser.parse()).multi_items()
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise InvalidArgument(f"over {parser.max_files} files came; {max_files} at most") from error
            raise InvalidArgument(f"the form cannot be read: {error.message}") from error
        fields: dict[str, list[Any]] = defaultdict(list)
        for name, value in items:
            if name not in known:
                raise InvalidArgument(f"unknown form field {name[:80]!r}; known are {sorted(known)}")
            fields[name].append(value)
        return cls(fields)

    async def file(self, name: str) -> bytes:
        """The content of a file, which must be there."""
        return await _content(name, self._once(name))

    async def files(self, name: str) -> list[bytes]:
        """The contents of all files of that name, in the order they came."""
        return [await _content(f"{name}[{i}]", value) for i, value in enumerate(self._fields.get(name, ()))]

    def text(self, name: str) -> str:
        """A text, "" where it is not there."""
        value = self._once(name) or ""
        if not isinstance(value, str):
            raise InvalidArgument(f"form field {name!r} wants text, a file came")
        return _plain(value)

    def whole_number(self, name: str) -> int | None:
        """A number, None where it is not there."""
        value = self.text(name)
        if value and not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
            raise InvalidArgument(f"form field {name!r} wants a whole number, {value[:40]!r} came")
        return int(value) if value else None

    def number(self, name: str) -> float | None:
        """A number in decimal, None where it is not there."""
        value = self.text(name)
        if value and not (len(value) <= _MAX_NUMBER and _NUMBER.fullmatch(value)):
            raise InvalidArgument(f"form field {name!r} wants a number, {value[:40]!r} came")
        return float(value) if value else None

    def _once(self, name: str) -> Any:
        """The field's value, None where it is not there."""
        values = self._fields.get(name, [None])
        if len(values) > 1:
            raise InvalidArgument(f"form field {name!r} came {len(values)} times, once is wanted")
        return values[0]


def _check_type(content_type: str) -> None:
    # Read by what the parser reads it with. Of any charset, it would call Python's codec of that name, some of which
    # take a time that grows with the square of the text's length.
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        came = kind.decode("latin-1")[:_MAX_ECHO] or "no content type"
        raise InvalidArgument(f"a multipart/form-data body is wanted, {came} came")
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8"):
        raise InvalidArgument(f"the form's charset is {charset[:_MAX_ECHO]!r}; utf-8 is wanted")


async def _content(name: str, value: Any) -> bytes:
    if not isinstance(value, UploadFile):
        raise InvalidArgument(f"form field {name!r} wants a file, {'text' if value else 'nothing'} came")
    return await value.read()


def _plain(value: str) -> str:
    """BentoML's own client sends each text as JSON: "lenet5" in quotes, null for None."""
    if value.startswith('"'):
        with suppress(orjson.JSONDecodeError):
            return str(orjson.loads(value))
    return "" if value == "null" else value
