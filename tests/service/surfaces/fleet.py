"""A server of several workers, and which of them has what."""

import socket
from contextlib import ExitStack
from pathlib import Path

import orjson
import psutil  # type: ignore[import-untyped]

from tests.service.surfaces.callers import in_flight
from tests.service.surfaces.sockets import connect, read_reply
from tests.service.surfaces.transports import infer_path
from tests.serving import Server, eventually

WORKERS = 2
# As many connections come to one worker alone once in 2^63 times.
ATTEMPTS = 64
BODY = orjson.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 4, 4], "data": [0] * 16}]})


def workers_of(server: Server) -> list[psutil.Process]:
    return list(psutil.Process(server.process.pid).children())


def connected(server: Server, port: int) -> set[int]:
    """The workers that have a connection on that port."""
    return {
        worker.pid
        for worker in workers_of(server)
        for connection in worker.net_connections("inet")
        if connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED
    }


def folder_of(server: Server) -> Path:
    """The folder in which the workers have their sockets."""
    (folder,) = {
        Path(connection.laddr).parent
        for worker in workers_of(server)
        for connection in worker.net_connections("unix")
        if "lectorium-" in str(connection.laddr)
    }
    return folder


def begin_uploads(server: Server, stack: ExitStack) -> list[socket.socket]:
    """Requests that every worker has some of, with the end of their body to come."""
    head = f"POST {infer_path('tiny')} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    uploads: list[socket.socket] = []
    while len(connected(server, server.rest_port)) < WORKERS:
        assert len(uploads) < ATTEMPTS
        uploads.append(stack.enter_context(connect(server.rest_port)))
        uploads[-1].sendall(head + BODY[:10])
    assert eventually(lambda: in_flight(server, "oip_rest") == len(uploads))
    return uploads


def statuses(uploads: list[socket.socket]) -> set[int]:
    """What the uploads come to."""
    for upload in uploads:
        upload.sendall(BODY[10:])
    return {read_reply(upload).status for upload in uploads}
