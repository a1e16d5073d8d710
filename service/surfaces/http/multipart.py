"""A multipart form whose body is in memory: its parts, in one pass and without a copy on the disk."""

from typing import NamedTuple

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from service.errors import InvalidArgument

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
    charset = options.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise InvalidArgument(f"the form's charset is {charset[:_MAX_ECHO]!r}; utf-8 is wanted")
    if "boundary" not in options:
        raise InvalidArgument("the form cannot be read: its content type has no boundary")
    reader = _Reader(files, texts)
    try:
        with PushMultipartParser(options["boundary"]) as parser:
            for event in parser.parse(body):
                reader.take(event)
    except MultipartError as error:
        raise InvalidArgument(f"the form cannot be read: {error.args[0]}") from error
    return reader.parts


class _Reader:
    """Makes parts of what the parser finds: of each a head, then its content in pieces, then None."""

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
            raise InvalidArgument(f"over {SPARE * self._allowed_files} files came; {self._allowed_files} at most")
        if len(self.parts) + 1 - self._files > self._allowed_texts:
            raise InvalidArgument(f"over {self._allowed_texts} fields came; there are no more")

    def _add(self, piece: bytes) -> None:
        self._content = self._content + piece if self._content else piece
        if not self._is_file and len(self._content) > MAX_TEXT_BYTES:
            raise InvalidArgument(f"form field {self._name[:_MAX_ECHO]!r} has over {MAX_TEXT_BYTES} bytes of text")
