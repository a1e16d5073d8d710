"""Read a multipart form strictly: every field known, none twice, and each of its kind."""

import sys
from collections import Counter
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import InvalidArgument

_MAX_DIGITS = 9


class _InMemory(MultiPartParser):
    """The body is in memory already, and bounded; a copy on the disk would help nobody."""

    spool_max_size = sys.maxsize


class Form:
    """A form's fields, by name."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    @classmethod
    async def read(cls, request: Request, known: set[str]) -> "Form":
        """The form in the request's body.

        Raises:
            InvalidArgument: it is no multipart form, or a field is unknown or came twice.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise InvalidArgument(f"a multipart/form-data body is wanted, {kind[:80] or 'no content type'} came")
        parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=len(known))
        try:
            items = (await parser.parse()).multi_items()
        except MultiPartException as error:
            raise InvalidArgument(f"the form cannot be read: {error.message}") from error
        for name, times in Counter(name for name, _ in items).items():
            if name not in known:
                raise InvalidArgument(f"unknown form field {name[:80]!r}; known are {sorted(known)}")
            if times > 1:
                raise InvalidArgument(f"form field {name!r} came {times} times, once is wanted")
        return cls(dict(items))

    async def file(self, name: str) -> bytes:
        """The content of a file, which must be there."""
        value = self._fields.get(name)
        if not isinstance(value, UploadFile):
            raise InvalidArgument(f"form field {name!r} wants a file, {'text' if value else 'nothing'} came")
        return await value.read()

    def text(self, name: str) -> str:
        """A text, "" where it is not there."""
        value = self._fields.get(name, "")
        if not isinstance(value, str):
            raise InvalidArgument(f"form field {name!r} wants text, a file came")
        # BentoML's own client sends "lenet5" in quotes and null for None, as JSON; no name we serve has a quote.
        return "" if value == "null" else value.strip('"')

    def whole_number(self, name: str) -> int | None:
        """A number, None where it is not there."""
        value = self.text(name)
        if value and not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
            raise InvalidArgument(f"form field {name!r} wants a whole number, {value[:40]!r} came")
        return int(value) if value else None
