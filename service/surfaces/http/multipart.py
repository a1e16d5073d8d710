"""A multipart form whose body is in memory: its parts, read by python-multipart without a copy on the disk."""

from typing import TYPE_CHECKING, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import InvalidArgument

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_TEXT_BYTES = 1 << 20  # of a part that is no file
# Files that are read, for each that is wanted: what is said of too many is the task's to say, while they are few.
SPARE = 4
_MAX_ECHO = 80


class Part(NamedTuple):
    """One part: a file, or a text."""

    name: str
    content: bytes
    is_file: bool


def read_parts(content_type: str, body: bytes, *, files: int, texts: int) -> list[Part]:
    """The parts of the form in ``body``, in the order they came, where so many ``files`` and ``texts`` are wanted.

    Raises:
        InvalidArgument: it is no form, not of UTF-8, or has far more files, or more texts, than that.
    """
    # Of a form of any charset, what came would have to be read by the codec of a stranger's choice.
    _, options = parse_options_header(content_type)
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8"):
        raise InvalidArgument(f"the form's charset is {charset[:_MAX_ECHO]!r}; utf-8 is wanted")
    if b"boundary" not in options:
        raise InvalidArgument("the form cannot be read: its content type has no boundary")
    reader = _Reader(files, texts)
    try:
        parser = MultipartParser(options[b"boundary"], reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidArgument(f"the form cannot be read: {error}") from error
    return reader.parts


class _Reader:
    def __init__(self, files: int, texts: int) -> None:
        self.parts: list[Part] = []
        self._files = files
        self._texts = texts

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.on_part_begin,
            "on_part_data": self.on_part_data,
            "on_part_end": self.on_part_end,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
        }

    def on_part_begin(self) -> None:
        self._content: list[bytes] = []
        self._size = 0
        self._disposition = b""
        self._header_name = self._header_value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise InvalidArgument("the form cannot be read: a part has no name in its Content-Disposition")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._is_file = b"filename" in options
        files = sum(part.is_file for part in self.parts) + self._is_file
        texts = len(self.parts) + 1 - files
        if files > SPARE * self._files:
            raise InvalidArgument(f"over {SPARE * self._files} files came; {self._files} at most")
        if texts > self._texts:
            raise InvalidArgument(f"over {self._texts} fields came; there are no more")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if not self._is_file and self._size > MAX_TEXT_BYTES:
            raise InvalidArgument(f"form field {self._name[:_MAX_ECHO]!r} has over {MAX_TEXT_BYTES} bytes of text")
        self._content.append(data[start:end])

    def on_part_end(self) -> None:
        self.parts.append(Part(self._name, b"".join(self._content), self._is_file))
