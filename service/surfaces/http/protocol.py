"""HTTP/1.1 on one connection of any port: httptools parses, an answer is sent in one write.

It replaces uvicorn's own protocol under uvicorn's server, at less than half the cost per request, and limits what a
caller may send, how long it may take, and how much it may send ahead.
"""

import asyncio
import time
from collections import deque
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.errors import DeadlineExceeded, HeadLate, LectoriumError
from service.surfaces.http.connections import LINGER_S, Connections, Refused
from service.surfaces.http.error import Headers
from service.surfaces.http.exchange import Exchange, refusal
from service.surfaces.http.request_reader import PIECE, RequestReader

_MAX_BUFFERED = 64 << 10
# Seconds. Apps limit the time of a body and of reading an answer, too, and word it better: they come first by this.
_APPS_OWN_S = 2.0


class HttpProtocol(asyncio.Protocol):
    """One connection. Requests that are sent ahead wait for those before them; only the next one is read."""

    transport: asyncio.Transport

    def __init__(
        self,
        connections: Connections,
        *,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._connections = connections
        self._app: Any = config.loaded_app
        self._state = server_state
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._exchanges: deque[Exchange] = deque()  # the first one is being answered
        self._unread = bytearray()  # received while a request waits for its turn, or a body for its reader
        self._refusal: bytes | None = None  # for what was sent after the requests in `_exchanges`
        self._ended = False
        self._served = False
        self._paused = False
        self._unsent = 0
        self._since = self._sent = time.monotonic()
        self.leaving = False
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if another connection is allowed."""
        self.transport = transport
        if self._connections.full:
            refused = Refused(self._connections)
            transport.set_protocol(refused)
            refused.connection_made(transport)
            return
        self._connections.open.add(self)
        self._reader = RequestReader(self, self._scope(), self._app_state, self._connections.max_head_bytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._connections.open.discard(self)
        self._connections.paused.discard(self)
        self.writable.set()
        self._end_exchanges()

    def eof_received(self) -> None:
        """The caller closed its sending side, which counts as hanging up; the transport closes by itself."""
        self._end_exchanges()

    def data_received(self, data: bytes) -> None:
        """Parse it, or keep it for later."""
        if self._ended or self._refusal is not None:
            return  # discarded; reading goes on to notice the end of the connection
        if self._unread:
            self._unread += data
        else:
            self._read(data)
        if self._unread:
            self._pause_or_resume()

    def pause_writing(self) -> None:
        """The caller does not read its answers."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """The caller reads its answers again."""
        self.writable.set()

    def shutdown(self) -> None:
        """Close once the requests that have begun are answered."""
        self.leaving = True
        if self._ended:
            self.transport.abort()
        elif not self._exchanges:
            self.transport.close()

    def look(self, now: float) -> None:
        """Close the connection if nothing has happened on it for too long."""
        patience_s = self._connections.patience_s + (_APPS_OWN_S if self._exchanges else 0)
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._sent = unsent, now
        if unsent:
            if now - self._sent > patience_s:
                self.transport.abort()
        elif self._ended:
            if now - max(self._since, self._sent) > LINGER_S:
                self.transport.abort()
        elif self._exchanges:
            if self._exchanges[0].wants_body and now - self._exchanges[0].moved > patience_s:
                self._refuse(DeadlineExceeded(f"no more of the request's body arrived for {patience_s:g} s"))
        else:
            self._look_for_request(now)

    def _look_for_request(self, now: float) -> None:
        head_s = self._connections.head_s
        if self._reader.reading_head:
            if now - max(self._since, self._reader.began) > head_s:
                self._refuse(HeadLate(f"the request's head did not arrive within {head_s:g} s"))
        elif now - self._since > (self._connections.keep_alive_s if self._served else head_s):
            self.transport.close()

    # Called by the reader and by exchanges

    @property
    def default_headers(self) -> Headers:
        """The headers of every answer."""
        return self._state.default_headers

    def begin(self, exchange: Exchange) -> None:
        """Let the app answer, now or when it is this request's turn."""
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            self._run(exchange)

    def answered(self, *, keep_alive: bool) -> None:
        """The first request is answered: go on with the next."""
        self._exchanges.popleft()
        self._served = True
        self._since = time.monotonic()
        if not keep_alive:
            self._end()
        elif self._exchanges:
            self._run(self._exchanges[0])
        elif self._refusal is not None:
            self._end(self._refusal)
        if self._unread:
            self.read_on()

    def break_off(self, error: LectoriumError | None) -> None:
        """The app failed: answer with ``error`` and close, or only close if the answer has begun."""
        if error is not None:
            self._end(refusal(error))
        elif self.writable.is_set():
            self._end()
        else:  # nobody reads the answer
            self.transport.abort()

    def read_on(self) -> None:
        """Go on reading: there is room again for what the caller sends."""
        if self._unread:
            data = bytes(self._unread)
            self._unread.clear()
            self._read(data)
        if self._paused:
            self._pause_or_resume()

    @property
    def _has_room(self) -> bool:
        """Whether more may be parsed: no request waits for its turn, and no body for its reader."""
        exchange = self._reader.exchange
        return len(self._exchanges) < 2 and (exchange is None or exchange.size <= _MAX_BUFFERED)

    def _read(self, data: bytes) -> None:
        reader, read, size = self._reader, 0, len(data)
        pieces = memoryview(data) if size > PIECE else data
        try:
            while read < size and self._has_room:
                end = read + reader.piece if size > PIECE else size
                reader.feed(pieces[read:end])
                read = end
        except LectoriumError as error:
            self._refuse(error)
        else:
            if read < size:
                self._unread += pieces[read:]

    def _pause_or_resume(self) -> None:
        pause = len(self._unread) > _MAX_BUFFERED
        if pause != self._paused and not self.transport.is_closing():
            self._paused = pause
            if pause:
                self._connections.paused.add(self)
                self.transport.pause_reading()
            else:
                self._connections.paused.discard(self)
                self.transport.resume_reading()

    def _run(self, exchange: Exchange) -> None:
        task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _refuse(self, error: LectoriumError) -> None:
        """Answer the last request with ``error`` once those before it are answered, and close."""
        self._refusal = refusal(error)
        broken = self._reader.exchange
        if broken is not None and not broken.complete and broken in self._exchanges:
            self._exchanges.remove(broken)
            broken.lost()
            if broken.begun:  # the refusal would be in the middle of its answer
                self._refusal = b""
        if not self._exchanges:
            self._end(self._refusal)

    def _end(self, last: bytes = b"") -> None:
        """Write the last bytes and close.

        A caller that still sends would lose them if the connection were closed at once. So it gets a moment to read
        them, and what it sends is discarded.
        """
        quiet = not (last or self._unread or self._reader.in_body)
        self._ended = True
        self._since = time.monotonic()
        self._unread.clear()
        self._end_exchanges()
        if self.transport.is_closing():
            return
        self.transport.write(last)
        if quiet:
            self.transport.close()
        else:
            self.transport.write_eof()
            self._pause_or_resume()

    def _end_exchanges(self) -> None:
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            exchange.lost()

    def _scope(self) -> dict[str, Any]:
        """The part of the scope that is the same for all requests."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "http",
            "root_path": "",
            "client": _address(self.transport, "peername"),
            "server": _address(self.transport, "sockname"),
        }


def _address(transport: asyncio.Transport, which: str) -> tuple[str, int] | None:
    """Host and port of one end."""
    address = transport.get_extra_info(which)
    return (str(address[0]), int(address[1])) if address else None
