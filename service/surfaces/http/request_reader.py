"""Reads the requests of one connection: httptools parses, this bounds what may come and says what is wrong with it."""

import time
from typing import Any
from urllib.parse import unquote

import httptools

from service.errors import HeadTooLarge, InvalidArgument, LectoriumError
from service.surfaces.http.disconnect import ON_HANG_UP
from service.surfaces.http.exchange import Connection, Exchange

MAX_HEADERS = 100
# What the parser is given at once: all of the requests in it are read, and a caller may send many small ones ahead.
PIECE = 16 << 10
_VERSIONS = ("1.1", "1.0")
_OF_EACH = ("http_version", "method", "path", "raw_path", "query_string", "headers", "state", ON_HANG_UP)
_NOTED = frozenset({b"host", b"content-length", b"expect"})


class RequestReader:
    """Hands each request to its connection when its head is read, and adds the body to it as it comes.

    ``exchange`` is the last request read, ``reading_head`` whether the head of the next one has begun, and ``began``
    when it did.

    Args:
        connection: begins the requests.
        scope: what is the same in the ASGI scope of each.
        state: what the app's start left for them; each gets a copy.
        max_head_bytes: the most of a head; and the most that is no body between two pieces of one, such as trailers.
    """

    def __init__(
        self, connection: Connection, scope: dict[str, Any], state: dict[str, Any], max_head_bytes: int
    ) -> None:
        self._connection = connection
        # Every key is there from the beginning: a copy of it never grows.
        self._common: dict[str, Any] = scope | dict.fromkeys(_OF_EACH)
        self._state = state
        self._max_bytes = max_head_bytes
        self._parser = httptools.HttpRequestParser(self)
        # Else what follows a request that says `Connection: close` would cost it its answer.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.exchange: Exchange | None = None
        self.reading_head = False
        self.began = 0.0
        self._bytes = 0  # of whole pieces inside a head, or inside what is no body
        self._nothing_new = True
        self._body_left = 0

    @property
    def in_body(self) -> bool:
        """Whether the body of a request has not ended."""
        return self.exchange is not None and not self.exchange.complete

    @property
    def piece(self) -> int:
        """How many bytes to feed next: the rest of a body, or so few that not many requests can be in them."""
        return max(PIECE, self._body_left)

    def feed(self, data: bytes | memoryview) -> None:
        """Read on; after an error no more can be read.

        Raises:
            InvalidArgument: what came is no HTTP.
            HeadTooLarge: the head or the trailers of a request are.
        """
        self._nothing_new = True
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:  # answered as the plain request it is as well
                    data = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            ours = error.__context__
            if isinstance(ours, LectoriumError):
                raise ours from None
            raise InvalidArgument(f"the request is no HTTP/1.1: {error}") from error
        if self._nothing_new and (self.reading_head or (self.in_body and not self._body_left)):
            self._bytes += len(data)
            if self._bytes > self._max_bytes:
                raise self._too_many_bytes()

    # What httptools calls; an error raised here is the `__context__` of the one it raises.

    def on_message_begin(self) -> None:
        """A request's first byte."""
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
        """A piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which nobody reads."""
        if not self.reading_head:
            self._trailers += 1
            if self._trailers > MAX_HEADERS:
                raise HeadTooLarge(f"over {MAX_HEADERS} trailers came; at most {MAX_HEADERS} are taken")
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
        """Its head is read: let the app begin, if it is this request's turn."""
        version = self._parser.get_http_version()
        self._check_head(version)
        self.reading_head = False
        self._bytes = 0
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        continues = version == "1.1" and self._continues  # older callers do not understand it
        self.exchange = Exchange(self._connection, self._scope(version), keep_alive=keep_alive, continues=continues)
        self._connection.begin(self.exchange)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        assert self.exchange is not None
        self.exchange.add(body)
        self._nothing_new = False
        self._bytes = 0
        if self._body_left:
            self._body_left -= len(body)

    def on_message_complete(self) -> None:
        """Its end."""
        assert self.exchange is not None
        self.exchange.end_body()

    def _check_head(self, version: str) -> None:
        if version not in _VERSIONS:
            raise InvalidArgument(f"HTTP/{version} came; HTTP/1.1 and HTTP/1.0 are spoken here")
        if len(self._headers) > MAX_HEADERS:
            raise HeadTooLarge(f"{len(self._headers)} headers came; at most {MAX_HEADERS} are taken")
        # A head in two pieces at most cannot be larger than these: it need not be counted.
        if self._bytes + 2 * PIECE > self._max_bytes:
            size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > self._max_bytes:
                raise self._too_many_bytes()
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            raise InvalidArgument(f"{self._hosts} Host headers came; one is wanted")

    def _too_many_bytes(self) -> HeadTooLarge:
        what = "head has" if self.reading_head else "chunk headers or trailers have"
        return HeadTooLarge(f"the request's {what} over {self._max_bytes} bytes, the most that is taken")

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
        """Path and query; the parser lets no other bytes through than ASCII."""
        if self._url == b"*":  # of OPTIONS
            return b"*", b""
        try:
            target = httptools.parse_url(self._url)
            return target.path or b"/", target.query or b""
        except httptools.HttpParserError as error:
            raise InvalidArgument(f"the request's target {self._url[:200].decode('latin1')!r} is no URL") from error
