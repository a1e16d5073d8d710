"""Reads the requests of one connection: httptools parses, this limits what may be sent and words the errors."""

import time
from typing import Any
from urllib.parse import unquote

import httptools

from service.errors import HeadTooLarge, InvalidArgument, LectoriumError
from service.surfaces.http.disconnect import ON_HANG_UP
from service.surfaces.http.exchange import Connection, Exchange

MAX_HEADERS = 100
# Bytes for the parser at once. All requests in them are read, and a caller may send many small ones ahead.
PIECE = 16 << 10
_VERSIONS = ("1.1", "1.0")
_OF_EACH = ("http_version", "method", "path", "raw_path", "query_string", "headers", "state", ON_HANG_UP)
_NOTED = frozenset({b"host", b"content-length", b"expect"})


class RequestReader:
    """Gives each request to its connection once its head is read, and adds the body as it arrives.

    Attributes:
        exchange: the last request whose head was read.
        reading_head: whether the head of the next one has begun.
        began: when it began.

    Args:
        connection: begins the requests.
        scope: the part of the ASGI scope that is the same for all.
        state: the app's state from its start-up; each request gets a copy.
        max_head_bytes: the longest head, and the most bytes that are no body between two pieces of a body or after it,
            such as trailers.
    """

    def __init__(
        self, connection: Connection, scope: dict[str, Any], state: dict[str, Any], max_head_bytes: int
    ) -> None:
        self._connection = connection
        # It has every key from the beginning, so that a copy never grows.
        self._common: dict[str, Any] = scope | dict.fromkeys(_OF_EACH)
        self._state = state
        self._max_bytes = max_head_bytes
        self._parser = httptools.HttpRequestParser(self)
        # Without it, data after a request with `Connection: close` would be an error, and the request unanswered.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.exchange: Exchange | None = None
        self.reading_head = False
        self.began = 0.0
        self._bytes = 0  # of whole pieces inside a head, or inside what is no body
        self._nothing_new = True
        self._body_left = 0

    @property
    def in_body(self) -> bool:
        """Whether the body of a request is incomplete."""
        return self.exchange is not None and not self.exchange.complete

    @property
    def piece(self) -> int:
        """How many bytes to feed next: the rest of a body, or few enough to hold not many requests."""
        return max(PIECE, self._body_left)

    def feed(self, data: bytes | memoryview) -> None:
        """Parse more; nothing can be parsed after an error.

        Raises:
            InvalidArgument: it is not HTTP.
            HeadTooLarge: the head or the trailers of a request are too large.
        """
        self._nothing_new = True
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:  # it is answered as a plain request
                    data = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            ours = error.__context__
            if isinstance(ours, LectoriumError):
                raise ours from None
            raise InvalidArgument(f"the request is not HTTP/1.1: {error}") from error
        if self._nothing_new and (self.reading_head or (self.in_body and not self._body_left)):
            self._bytes += len(data)
            if self._bytes > self._max_bytes:
                raise self._too_many_bytes()

    # Called by httptools; an error raised here becomes the `__context__` of the one that it raises.

    def on_message_begin(self) -> None:
        """A request begins."""
        self.reading_head = True
        self.began = time.monotonic()
        self._nothing_new = False
        self._bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._hosts = 0
        self._trailers = 0
        self._continues = False
        self._body_left = 0

    def on_url(self, url: bytes) -> None:
        """A piece of its target was read."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was read, or a trailer, which is ignored."""
        if not self.reading_head:
            self._trailers += 1
            if self._trailers > MAX_HEADERS:
                raise HeadTooLarge(f"the request has over {MAX_HEADERS} trailers, the most that is allowed")
            return
        name = name.lower()
        self._headers.append((name, value))
        if name in _NOTED:
            self._note(name, value)

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self._body_left = int(value)
        elif value.lower() == b"100-continue":
            self._continues = True

    def on_headers_complete(self) -> None:
        """Its head was read: give the request to the connection."""
        version = self._parser.get_http_version()
        self._check_head(version)
        self.reading_head = False
        self._bytes = 0
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        continues = version == "1.1" and self._continues  # HTTP/1.0 has no 100 Continue
        self.exchange = Exchange(self._connection, self._scope(version), keep_alive=keep_alive, continues=continues)
        self._connection.begin(self.exchange)

    def on_body(self, body: bytes) -> None:
        """A piece of its body was read."""
        assert self.exchange is not None
        self.exchange.add(body)
        self._nothing_new = False
        self._bytes = 0
        if self._body_left:
            self._body_left -= len(body)

    def on_message_complete(self) -> None:
        """It is complete."""
        assert self.exchange is not None
        self.exchange.end_body()

    def _check_head(self, version: str) -> None:
        if version not in _VERSIONS:
            raise InvalidArgument(f"the version is HTTP/{version}; allowed are HTTP/1.1 and HTTP/1.0")
        if len(self._headers) > MAX_HEADERS:
            raise HeadTooLarge(f"the request has {len(self._headers)} headers; at most {MAX_HEADERS} are allowed")
        # A head in at most two pieces is not longer than these: its bytes need not be counted.
        if self._bytes + 2 * PIECE > self._max_bytes:
            size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > self._max_bytes:
                raise self._too_many_bytes()
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            raise InvalidArgument(f"the request has {self._hosts} Host headers; it must have one")

    def _too_many_bytes(self) -> HeadTooLarge:
        what = "head has" if self.reading_head else "chunk headers or trailers have"
        return HeadTooLarge(f"the request's {what} over {self._max_bytes} bytes, the most that is allowed")

    def _scope(self, version: str) -> dict[str, Any]:
        raw_path, query = self._target()
        path = raw_path.decode("ascii")
        scope = self._common.copy()
        scope["http_version"] = version
        scope["method"] = self._parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["headers"] = self._headers
        scope["state"] = self._state.copy()
        return scope

    def _target(self) -> tuple[bytes, bytes]:
        """Path and query, which are ASCII: the parser refuses other bytes."""
        if self._url == b"*":  # of OPTIONS
            return b"*", b""
        try:
            target = httptools.parse_url(self._url)
            return target.path or b"/", target.query or b""
        except httptools.HttpParserError as error:
            raise InvalidArgument(
                f"the request's target is {self._url[:200].decode('latin1')!r}; it must be a URL"
            ) from error
