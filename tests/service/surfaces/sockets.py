"""HTTP as a stranger may write it: bytes to a socket, and whatever comes back."""

import socket
from contextlib import suppress
from typing import NamedTuple

from tests.serving import HOST


class Reply(NamedTuple):
    """A response; status 0 where the server only hung up."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=20)


def exchange(port: int, request: bytes, *, half_close: bool = False) -> Reply:
    """Send the bytes, read to the end; ``half_close`` says that no more will follow."""
    with connect(port) as connection:
        with suppress(OSError):  # it may have heard enough
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        return read_reply(connection)


def read_reply(connection: socket.socket) -> Reply:
    """The first response on the connection; waits for all of it, or for the server to hang up."""
    data = b""
    while True:
        head, blank, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        chunked = headers.get("transfer-encoding") == "chunked"
        whole = body.endswith(b"0\r\n\r\n") if chunked else len(body) >= int(headers.get("content-length", 1 << 62))
        if blank and whole:
            break
        try:
            received = connection.recv(1 << 16)
        except ConnectionError:
            received = b""
        if not received:
            break
        data += received
    return Reply(int(lines[0].split()[1]) if blank else 0, headers, body)
