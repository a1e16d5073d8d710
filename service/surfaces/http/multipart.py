"""Reads a multipart form from memory in one pass, without temporary files."""

from typing import NamedTuple

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from service.errors import InvalidArgument

MAX_TEXT_BYTES = 1 << 20  # of a part that is not a file
# So many times the files that are allowed are read: refusing a few too many is left to the task, which says it better.
SPARE = 4
_MAX_ECHO = 80


class Part(NamedTuple):
    """One part: a file or a text."""

    name: str
    content: bytes
    is_file: bool


def read_parts(content_type: str, body: bytes, *, files: int, texts: int) -> list[Part]:
    """The parts of the form in ``body``, in their order; ``files`` and ``texts`` are how many the task allows.

    Raises:
        InvalidArgument: it is no form, its charset is not UTF-8, or it has far more files or more texts than allowed.
    """
    # Any other charset would let the caller choose which codec reads the form.
    _, options = parse_options_header(content_type)
    charset = options.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise InvalidArgument(f"the form's charset is {charset[:_MAX_ECHO]!r}; it must be utf-8")
    if "boundary" not in options:
        raise InvalidArgument("the form cannot be read: its content-type has no boundary")
    reader = _Reader(files, texts)
    try:
        with PushMultipartParser(options["boundary"]) as parser:
            for event in parser.parse(body):
                reader.take(event)
    except MultipartError as error:
        raise InvalidArgument(f"the form cannot be read: {error.args[0]}") from error
    return reader.parts


class _Reader:
    """Collects the parts from the parser's events: for each part its head, its content in pieces, and None."""

    def __init__(self, files: int, texts: int) -> None:
        self.parts: list[Part] = []
        self._allowed_files = files
        self._allowed_texts = texts
        self._files = 0
        self._name = ""
        self._is_file = False
        self._content = b""

    def take(self, event: MultipartSegment | bytes | None) -> None:
        if event is None:
            self.parts.append(Part(self._name, self._content, self._is_file))
        elif isinstance(event, MultipartSegment):
            self._begin(event.name, event.filename is not None)
        else:
            self._add(event)

    def _begin(self, name: str, is_file: bool) -> None:
        if not name:
            raise InvalidArgument("the form cannot be read: a part has no name in its Content-Disposition")
        self._name, self._is_file, self._content = name, is_file, b""
        self._files += is_file
        if self._files > SPARE * self._allowed_files:
            raise InvalidArgument(
                f"the form has over {SPARE * self._allowed_files} files; at most {self._allowed_files} are allowed"
            )
        if len(self.parts) + 1 - self._files > self._allowed_texts:
            raise InvalidArgument(f"the form has over {self._allowed_texts} text fields, the most that is allowed")

    def _add(self, piece: bytes) -> None:
        self._content = self._content + piece if self._content else piece
        if not self._is_file and len(self._content) > MAX_TEXT_BYTES:
            raise InvalidArgument(
                f"form field {self._name[:_MAX_ECHO]!r} has over {MAX_TEXT_BYTES} bytes of text, the most allowed"
            )
