"""One HTTP request and its answer, for an ASGI app."""

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from service.errors import CallerGone, InternalError, LectoriumError
from service.surfaces.http.disconnect import ON_HANG_UP, ASGIApp, Message, Scope
from service.surfaces.http.error import Headers, error_answer

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_STATUS_LINES[CallerGone.http_status] = b"HTTP/1.1 %d Client Closed Request\r\n" % CallerGone.http_status
_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_DISCONNECT: Message = {"type": "http.disconnect"}

log = logging.getLogger(__name__)


class Connection(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport
    writable: asyncio.Event
    leaving: bool

    @property
    def default_headers(self) -> Headers:
        """The headers of every answer."""

    def begin(self, exchange: "Exchange") -> None:
        """Called when the head of a request has been read."""

    def read_on(self) -> None:
        """Called when there is room again for what the caller sends."""

    def answered(self, *, keep_alive: bool) -> None:
        """Called when the answer is written."""

    def break_off(self, error: LectoriumError | None) -> None:
        """Called when the app failed: answer with ``error`` and close, or only close if the answer has begun."""


class Exchange:
    """Runs the app, which reads the body by `receive` as it arrives, and answers by `send`.

    Attributes:
        size: bytes of the body that have arrived and that the app has not read.
        complete: whether all of the body has arrived.
        moved: when the app began to wait for more of it.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_connection",
        "_continues",
        "_done",
        "_head",
        "_http_1_0",
        "_keep_alive",
        "_lost",
        "_news",
        "_on_hang_up",
        "_scope",
        "_taken",
        "_waiting",
        "_without_body",
        "complete",
        "moved",
        "size",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, continues: bool) -> None:
        self._connection = connection
        self._scope = scope
        scope[ON_HANG_UP] = self.on_hang_up
        self._keep_alive = keep_alive
        self._continues = continues  # the caller waits for "100 Continue"
        self._http_1_0 = scope["http_version"] != "1.1"
        self._without_body = scope["method"] == "HEAD"
        self._body: list[bytes] = []
        self.size = 0
        self.moved = 0.0
        self.complete = self._taken = self._lost = self._done = False
        self._news: asyncio.Event | None = None
        self._waiting = 0
        self._on_hang_up: Callable[[], None] | None = None
        self._head: bytes | None = None
        self._chunked = False

    @property
    def begun(self) -> bool:
        """Whether the answer has begun."""
        return self._head is not None

    @property
    def wants_body(self) -> bool:
        """Whether the app waits for more of the body."""
        return self._waiting > 0 and not self.complete and not self._done

    def on_hang_up(self, call: Callable[[], None] | None) -> bool:
        """Set what to call when the caller hangs up; None for nothing. False if it has hung up already."""
        self._on_hang_up = call
        return not self._lost

    def add(self, body: bytes) -> None:
        """Add a piece of the body."""
        if not self._done:  # what follows an early answer is discarded
            self._body.append(body)
            self.size += len(body)
            if self._news is not None:
                self._news.set()

    def end_body(self) -> None:
        """Note that the body is complete."""
        self.complete = True
        if self._news is not None:
            self._news.set()

    def lost(self) -> None:
        """Note that the caller has hung up."""
        self._lost = True
        if self._news is not None:
            self._news.set()
        if self._on_hang_up is not None:
            self._on_hang_up()

    async def run(self, app: ASGIApp) -> None:
        """Let the app answer; if it fails, answer 500."""
        scope, self._scope = self._scope, {}  # it refers to this exchange: that cycle would keep the request in memory
        if self._lost:
            return
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            log.exception("%s %.200s failed", scope["method"], scope["path"])
        finally:
            if not (self._done or self._lost):
                error = None if self.begun else InternalError("internal error; the server's log has it")
                self._connection.break_off(error)

    async def receive(self) -> Message:
        """What has arrived of the body, as soon as there is any; after the body, the disconnect."""
        if self._continues and not (self._lost or self.complete or self._body):
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._continues = False
        while not (self._lost or self._done or self._body or (self.complete and not self._taken)):
            await self._wait()
        if self._lost or self._done:
            return _DISCONNECT
        pieces, self._body, self.size, self._taken = self._body, [], 0, self.complete
        message = {
            "type": "http.request",
            "body": pieces[0] if len(pieces) == 1 else b"".join(pieces),
            "more_body": not self.complete,
        }
        if not self.complete:
            self._connection.read_on()  # the rest of the body may be in its buffer
        return message

    async def send(self, message: Message) -> None:
        """Write a message: the head is written together with the first piece of the body."""
        if not self._connection.writable.is_set():
            await self._connection.writable.wait()
        if self._lost:
            return
        if message["type"] == "http.response.start":
            self._head = self._start(message)
            return
        assert self._head is not None
        assert not self._done
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._without_body:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        self._connection.transport.write(self._head + body)
        self._head = b""
        if not more:
            self._finish()

    def _start(self, message: Message) -> bytes:
        status, headers = message["status"], self._connection.default_headers + list(message["headers"])
        names = {name for name, _ in headers}
        if (b"connection", b"close") in headers or self._connection.leaving:
            self._keep_alive = False
        if not self._keep_alive and b"connection" not in names:
            headers.append((b"connection", b"close"))
        if status in _WITHOUT_BODY:
            self._without_body = True
        elif b"content-length" not in names:
            self._chunked = not self._http_1_0
            if self._chunked:
                headers.append((b"transfer-encoding", b"chunked"))
            else:  # the body ends with the connection
                self._keep_alive = False
        return _head(status, headers)

    def _finish(self) -> None:
        self._done = True
        self._body = []
        self.size = 0
        if self._news is not None:
            self._news.set()
        self._connection.answered(keep_alive=self._keep_alive)

    async def _wait(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        self.moved = time.monotonic()
        self._waiting += 1
        try:
            await self._news.wait()
        finally:
            self._waiting -= 1


def refusal(error: LectoriumError) -> bytes:
    """An answer of the server itself, the last one of its connection."""
    status, headers, body = error_answer(error)
    headers = [header for header in headers if header[0] != b"connection"]
    return _head(status, [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]) + body


def _head(status: int, headers: Headers) -> bytes:
    head = b"".join([_STATUS_LINES[status], *[b"%s: %s\r\n" % header for header in headers], b"\r\n"])
    if head.count(b"\n") != len(headers) + 2:
        raise ValueError("a header of the answer contains a line break")
    return head
