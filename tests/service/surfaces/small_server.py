"""An HTTP server of ours with a small app behind it, and callers that write what they like."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.config import Config
from service.surfaces.http.disconnect import ASGIApp, Receive, Scope, Send
from service.surfaces.http.server import HttpServer
from tests.serving import HOST, free_ports

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(app: ASGIApp, most: int = 100, **settings: float) -> AsyncIterator[HttpServer]:
    [port] = free_ports(1)
    server = HttpServer("small", app, port, Config.model_validate({"rest_port": port, **settings}), most)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def dialled(server: HttpServer) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(HOST, server.config.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def told(server: HttpServer, request: bytes) -> bytes:
    """All that comes back until the server closes."""
    async with dialled(server) as (reader, writer):
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)


async def next_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of an answer of known length."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await asyncio.wait_for(reader.readexactly(length), 10)


async def whole(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        pieces.append(message["body"])
        more = message["more_body"]
    return b"".join(pieces)


async def reply(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with method, path and body."""
    body = await whole(receive)
    await reply(send, f"{scope['method']} {scope['path']} ".encode() + body)
