"""A small HTTP server that gives every POST the same status, and keeps what came."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from deploy.bench.server import HOST


class Came(NamedTuple):
    """One request."""

    body: bytes
    headers: Mapping[str, str]


class Answering(ThreadingHTTPServer):
    """Listens on ``server_port``."""

    daemon_threads = True

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__((HOST, 0), Handler)
        self.status, self.body = status, body
        self.came: list[Came] = []


class Handler(BaseHTTPRequestHandler):
    """Answers for it."""

    protocol_version = "HTTP/1.1"
    server: Answering

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append(Came(body, dict(self.headers)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """A generator cuts off what it no longer waits for."""
        with suppress(ConnectionError):
            super().handle()


@contextmanager
def answering(status: int, body: bytes = b"fine") -> Iterator[Answering]:
    """One that is up."""
    with Answering(status, body) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
