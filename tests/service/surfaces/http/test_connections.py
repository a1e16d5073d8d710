"""How many connections a port takes, and what ends those on which nothing happens."""

import asyncio
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack

import orjson
import pytest

from service.errors import InvalidConfig
from service.surfaces.http.connections import MAX_REFUSED, connections_a_port
from service.surfaces.http.disconnect import ON_HANG_UP, Receive, Scope, Send
from service.surfaces.http.server import HttpServer
from tests.service.surfaces.small_server import GET, Streams, dialled, mirror, next_answer, serving, whole

pytestmark = pytest.mark.slow

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


async def eventually_open(server: HttpServer, count: int) -> bool:
    """Whether so many connections are open, in the end."""
    for _ in range(500):
        if len(server.server_state.connections) == count:
            return True
        await asyncio.sleep(0.02)
    return False


async def closed(streams: Streams) -> bytes:
    """What comes until the server closes the connection."""
    try:
        return await asyncio.wait_for(streams[0].read(), 10)
    except ConnectionError:
        return b""


async def test_a_connection_too_many_is_told_so_and_a_freed_place_can_be_had() -> None:
    async with serving(mirror, most=3) as server, AsyncExitStack() as stack:
        served = [await stack.enter_async_context(dialled(server)) for _ in range(3)]
        for reader, writer in served:
            writer.write(GET)
            await next_answer(reader)
        async with dialled(server) as (reader, writer):
            writer.write(POST % 100_000 + bytes(100_000))
            head, body = await next_answer(reader)
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nretry-after: 1\r\n" in head
            assert orjson.loads(body) == {"error": "3 connections are open; no more are allowed; try again later"}
            assert await closed((reader, writer)) == b""
        for reader, writer in served:  # they are not disturbed
            writer.write(GET)
            assert (await next_answer(reader))[1] == b"GET / "
        served[0][1].close()
        assert await eventually_open(server, 2)
        async with dialled(server) as (reader, writer):
            writer.write(GET)
            assert (await next_answer(reader))[1] == b"GET / "


async def test_however_many_are_refused_they_do_not_stay() -> None:
    async with serving(mirror, most=1) as server, AsyncExitStack() as stack:
        await stack.enter_async_context(dialled(server))
        assert await eventually_open(server, 1)
        silent = [await stack.enter_async_context(dialled(server)) for _ in range(3 * MAX_REFUSED)]
        answers = await asyncio.gather(*map(closed, silent))
        assert sum(answer.startswith(b"HTTP/1.1 503 ") for answer in answers) >= 2 * MAX_REFUSED


async def test_connections_that_say_nothing_or_half_a_head_end_in_time() -> None:
    begun = (b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n\r\n")
    async with serving(mirror, most=2000, head_s=0.3) as server, AsyncExitStack() as stack:
        half = [await stack.enter_async_context(dialled(server)) for _ in range(200)]
        for i, (_, writer) in enumerate(half):
            writer.write(begun[i % len(begun)])
        await asyncio.gather(*map(closed, half))
        assert await eventually_open(server, 0)


async def test_a_head_that_comes_byte_by_byte_has_no_more_time() -> None:
    async with serving(mirror, head_s=0.3) as server, dialled(server) as (reader, writer):
        answer = asyncio.create_task(next_answer(reader))
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        while not answer.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert (await answer)[0].startswith(b"HTTP/1.1 408 ")


async def test_a_connection_may_be_idle_so_long_after_an_answer() -> None:
    async with serving(mirror, head_s=0.1, keep_alive_s=1.5) as server, dialled(server) as (reader, writer):
        for _ in range(2):
            writer.write(GET)
            assert (await next_answer(reader))[1] == b"GET / "
            await asyncio.sleep(1.2)
        assert await closed((reader, writer)) == b""


async def test_a_body_an_app_waits_for_must_make_progress() -> None:
    async with serving(mirror, timeout_s=0.1) as server, dialled(server) as (reader, writer):
        writer.write(POST % 10 + b"half")
        head, body = await next_answer(reader)
        assert head.startswith(b"HTTP/1.1 504 ")
        assert b"no more of the request's body arrived for " in body
        assert await closed((reader, writer)) == b""


async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    """More than the kernel's buffers hold, piece by piece or at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    pieces = 64 if scope["path"] == "/pieces" else 1
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": bytes((32 << 20) // pieces), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("path", [b"/pieces", b"/whole"])
@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
async def test_a_caller_that_never_reads_its_answer_is_let_go(path: bytes, connection: bytes) -> None:
    async with serving(flood, timeout_s=0.3) as server, dialled(server) as (reader, writer):
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: " + connection + b"\r\n\r\n")
        assert await eventually_open(server, 1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        assert await eventually_open(server, 0)
        await asyncio.sleep(0)
        assert not server.server_state.tasks


async def test_a_caller_that_reads_slowly_gets_all_of_its_answer() -> None:
    async with serving(flood, timeout_s=0.3) as server, dialled(server) as (reader, writer):
        writer.write(b"GET /whole HTTP/1.0\r\n\r\n")
        received = 0
        while piece := await asyncio.wait_for(reader.read(1 << 20), 10):
            received += len(piece)
            await asyncio.sleep(0.02)
    assert received > 32 << 20


@pytest.mark.parametrize("ahead", [0, 1, 4_000_000])
@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_caller_that_hangs_up_is_noticed_however_much_it_sent_ahead(how: str, ahead: int) -> None:
    """Those that sent too much for it to be read yet, too."""
    learned, inside = asyncio.Event(), asyncio.Event()

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        await whole(receive)
        scope[ON_HANG_UP](learned.set)
        inside.set()
        await asyncio.sleep(20)

    async with serving(listen) as server, dialled(server) as (_, writer):
        writer.write(GET)
        await asyncio.wait_for(inside.wait(), 10)
        connection = writer.get_extra_info("socket")
        if ahead > 1:
            writer.write(POST % ahead + bytes(ahead))
            await asyncio.sleep(0.1)
        elif ahead:
            writer.write(GET)
        if how == "resets" or ahead > 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()
        await asyncio.wait_for(learned.wait(), 5)
        for task in server.server_state.tasks:
            task.cancel()


@pytest.fixture
def descriptors() -> Iterator[None]:
    """The limit is the test's own."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("descriptors")
def test_the_limit_of_descriptors_is_raised_where_it_is_too_low_and_may_be() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    assert connections_a_port(200) == 200
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft * 3 // 4 >= 3 * (200 + MAX_REFUSED)


def test_fewer_connections_are_taken_where_there_are_few_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert connections_a_port(2048) == 256 - MAX_REFUSED
    assert connections_a_port(10) == 10
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    with pytest.raises(InvalidConfig, match="100 file descriptors, too few to serve"):
        connections_a_port(2048)
