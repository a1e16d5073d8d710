"""One HTTP request and its answer, as ASGI sees them."""

import asyncio
import logging
from http import HTTPStatus
from typing import Protocol

from service.errors import CallerGone
from service.surfaces.disconnect import ASGIApp, Message, Scope

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_STATUS_LINES[CallerGone.http_status] = b"HTTP/1.1 %d Client Closed Request\r\n" % CallerGone.http_status
_DISCONNECT: Message = {"type": "http.disconnect"}

log = logging.getLogger(__name__)


class Connection(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport
    writable: asyncio.Event
    leaving: bool

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Those of every answer."""

    def read_on(self) -> None:
        """There is room again for what the caller sends."""

    def answered(self, *, keep_alive: bool) -> None:
        """The answer is written."""


class Exchange:
    """`receive` gives the body as it has come so far, `send` writes; the app runs between the two."""

    __slots__ = (
        "_body",
        "_chunked",
        "_complete",
        "_connection",
        "_continues",
        "_done",
        "_head",
        "_keep_alive",
        "_lost",
        "_scope",
        "_size",
        "_taken",
        "_waiter",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, continues: bool) -> None:
        self._connection = connection
        self._scope = scope
        self._keep_alive = keep_alive
        self._continues = continues  # the caller waits to be told so
        self._body: list[bytes] = []
        self._size = 0
        self._complete = self._taken = self._lost = self._done = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._chunked = False

    @property
    def begun(self) -> bool:
        """Whether the answer is on its way."""
        return self._head is not None

    def add(self, body: bytes) -> int:
        """A piece of the body has come; how many bytes nobody has taken yet."""
        if not self._done:  # what follows an early answer is read, and forgotten
            self._body.append(body)
            self._size += len(body)
            self._wake()
        return self._size

    def complete(self) -> None:
        """The body has come."""
        self._complete = True
        self._wake()

    def lost(self) -> None:
        """The caller has gone."""
        self._lost = True
        self._wake()

    async def run(self, app: ASGIApp) -> None:
        """Let the app answer; where it does not, 500."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            log.exception("%s %.200s failed", self._scope["method"], self._scope["path"])
        finally:
            if not (self._done or self._lost):
                if not self.begun:
                    self._connection.transport.write(refusal(HTTPStatus.INTERNAL_SERVER_ERROR))
                self._connection.transport.close()  # half an answer says so by its break

    async def receive(self) -> Message:
        """What has come of the body, as soon as there is something; then, in its time, the disconnect."""
        if self._continues and not self._complete:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._continues = False
        while not (self._lost or self._done or self._body or (self._complete and not self._taken)):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._lost or self._done:
            return _DISCONNECT
        pieces, self._body, self._size, self._taken = self._body, [], 0, self._complete
        if not self._complete:
            self._connection.read_on()
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return {"type": "http.request", "body": body, "more_body": not self._complete}

    async def send(self, message: Message) -> None:
        """Write the head with the first of the body, then the rest as it comes."""
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
        if self._scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        self._connection.transport.write(self._head + body)
        self._head = b""
        if not more:
            self._finish()

    def _start(self, message: Message) -> bytes:
        headers = self._connection.default_headers + list(message["headers"])
        names = {name for name, _ in headers}
        if (b"connection", b"close") in headers or self._connection.leaving:
            self._keep_alive = False
        if not self._keep_alive and b"connection" not in names:
            headers.append((b"connection", b"close"))
        if b"content-length" not in names and self._scope["http_version"] == "1.1":
            self._chunked = True
            headers.append((b"transfer-encoding", b"chunked"))
        lines = [b"%s: %s\r\n" % header for header in headers]
        return b"".join([_STATUS_LINES[message["status"]], *lines, b"\r\n"])

    def _finish(self) -> None:
        self._done = True
        self._body.clear()
        self._size = 0
        self._wake()
        self._connection.answered(keep_alive=self._keep_alive)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def refusal(status: HTTPStatus) -> bytes:
    """The last answer of a connection, given by the server itself."""
    text = status.phrase.encode()
    head = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(text)
    return _STATUS_LINES[status] + head + text
