"""HTTP/1.1 on one connection, for the fast path: httptools reads, an answer leaves in one write.

It takes the place of uvicorn's own protocol, under uvicorn's server, at less than half its cost a request. Headers
an app answers with are written as they are: they must hold nothing a stranger sent.
"""

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.server import ServerState

from service.surfaces.exchange import Exchange, refusal

_MAX_HEAD = 64 << 10
_MAX_BUFFERED = 64 << 10


class HttpProtocol(asyncio.Protocol):
    """One connection. Requests that come before the last one is answered wait their turn."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app: Any = config.loaded_app
        self._idle_s = config.timeout_keep_alive
        self._state = server_state
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # Else what follows a request that says `Connection: close` would cost it its answer.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._exchange: Exchange | None = None  # the one whose body may still come
        self._turns: deque[Exchange] = deque()  # the first is being answered
        self._reading_head = False
        self._head_size = 0
        self._since = time.monotonic()
        self._paused = False
        self.leaving = False
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self.transport = transport
        self._state.connections.add(self)  # type: ignore[arg-type]  # a protocol like uvicorn's own

    def connection_lost(self, exc: Exception | None) -> None:
        """End, whoever wished it."""
        self._state.connections.discard(self)
        self.writable.set()
        for exchange in self._turns:
            exchange.lost()

    def data_received(self, data: bytes) -> None:
        """Read on; what is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as the plain request it is as well
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self._reading_head:
            self._head_size += len(data)
            if self._head_size > _MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def pause_writing(self) -> None:
        """The caller does not read its answers."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It does."""
        self.writable.set()

    def shutdown(self) -> None:
        """Close, once what has begun is answered."""
        self.leaving = True
        if not self._turns:
            self.transport.close()

    def close_if_idle(self, now: float, head_s: float) -> None:
        """Close what has been silent between requests, or inside the head of one, for too long."""
        if not self._turns and now - self._since > (head_s if self._reading_head else self._idle_s):
            self.transport.close()

    # What httptools calls

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._reading_head = True
        self._head_size = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._continues = False
        self._since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        name = name.lower()
        self._headers.append((name, value))
        if name == b"expect" and value.lower() == b"100-continue":
            self._continues = True

    def on_headers_complete(self) -> None:
        """Its head is read: let the app begin, if it is this request's turn."""
        self._reading_head = False
        version = self._parser.get_http_version()
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        self._exchange = Exchange(self, self._scope(version), keep_alive=keep_alive, continues=self._continues)
        self._turns.append(self._exchange)
        if len(self._turns) == 1:
            self._begin(self._exchange)
        else:
            self._pause()

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        assert self._exchange is not None
        if self._exchange.add(body) > _MAX_BUFFERED:
            self._pause()

    def on_message_complete(self) -> None:
        """Its end."""
        assert self._exchange is not None
        self._exchange.complete()

    # What an exchange calls

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Those of every answer."""
        return self._state.default_headers

    def answered(self, *, keep_alive: bool) -> None:
        """The first in turn has its answer."""
        self._turns.popleft()
        self._since = time.monotonic()
        if not keep_alive:
            self.transport.close()
        elif self._turns:
            self._begin(self._turns[0])
        if len(self._turns) < 2:
            self.read_on()

    def read_on(self) -> None:
        """There is room again for what the caller sends."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _begin(self, exchange: Exchange) -> None:
        task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _scope(self, version: str) -> dict[str, Any]:
        target = httptools.parse_url(self._url)
        path = target.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": target.path,
            "query_string": target.query or b"",
            "root_path": "",
            "headers": self._headers,
        }

    def _refuse(self, status: HTTPStatus) -> None:
        """Close, and say why unless that would fall into the answer of a request before."""
        self._reading_head = False
        if not any(exchange.begun or exchange is not self._exchange for exchange in self._turns):
            self.transport.write(refusal(status))
        for exchange in self._turns:
            exchange.lost()
        self.transport.close()
