"""What a request may hold, to the byte, and what is said where it holds something else."""

import asyncio

import orjson
import pytest

from service.surfaces.http.disconnect import Receive, Scope, Send
from service.surfaces.http.request_reader import MAX_HEADERS
from tests.service.surfaces.small_server import GET, dialled, mirror, next_answer, reply, serving, told, whole

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the names of the headers, once the body is there."""
    await whole(receive)
    await reply(send, b" ".join(name for name, _ in scope["headers"]))


async def refusal(request: bytes, max_head_bytes: int = 32 << 10) -> tuple[int, str]:
    """Status and message of the one answer."""
    async with serving(mirror, max_head_bytes=max_head_bytes) as server:
        answer = await told(server, request)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"\r\nconnection: close" in head
    return int(head.split()[1]), orjson.loads(body)["error"]


def head_of(size: int) -> bytes:
    """A request whose target and headers have ``size`` bytes, with the four around each header."""
    fixed = len(b"/") + len(b"Host") + len(b"x") + len(b"X") + 2 * 4
    return b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (size - fixed) + b"\r\n\r\n"


@pytest.mark.parametrize("limit", [1024, 20_000, 32 << 10, 100_000])
async def test_a_head_of_just_the_bytes_allowed_is_read_and_one_more_is_too_many(limit: int) -> None:
    async with serving(mirror, max_head_bytes=limit) as server, dialled(server) as (reader, writer):
        for _ in range(3):  # also behind a body in the same packet
            writer.write(POST + b"Content-Length: 9000\r\n\r\n" + bytes(9000) + head_of(limit))
            await next_answer(reader)
            assert (await next_answer(reader))[1] == b"GET / "
    status, message = await refusal(head_of(limit + 1), max_head_bytes=limit)
    assert (status, message) == (431, f"the request's head has over {limit} bytes, the most that is allowed")


async def test_as_many_headers_as_allowed_are_read_and_one_more_is_too_many() -> None:
    lines = [b"X: y\r\n"] * MAX_HEADERS
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(lines[1:]) + b"\r\n")
        assert (await next_answer(reader))[1] == b"GET / "
    status, message = await refusal(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(lines) + b"\r\n")
    assert (status, message) == (431, f"the request has {MAX_HEADERS + 1} headers; at most {MAX_HEADERS} are allowed")


@pytest.mark.parametrize(
    ("endless", "what"),
    [
        (b"GET /" + b"x" * 1_000_000, "head has"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000, "head has"),
        (CHUNKED + b"0\r\nX: " + b"x" * 1_000_000, "chunk headers or trailers have"),
        (CHUNKED + b"1;" + b"x" * 1_000_000, "chunk headers or trailers have"),
        (CHUNKED + b"1\r\na\r\n0\r\nX: " + b"x" * 1_000_000, "chunk headers or trailers have"),
    ],
)
async def test_what_has_no_end_is_refused_at_the_bound(endless: bytes, what: str) -> None:
    status, message = await refusal(endless)
    assert (status, message) == (431, f"the request's {what} over 32768 bytes, the most that is allowed")


async def test_many_trailers_are_refused() -> None:
    status, message = await refusal(CHUNKED + b"0\r\n" + b"X: y\r\n" * 200_000)
    assert (status, message) == (431, f"the request has over {MAX_HEADERS} trailers, the most that is allowed")


async def test_trailers_are_headers_of_no_request() -> None:
    async with serving(headers) as server, dialled(server) as (reader, writer):
        writer.write(CHUNKED + b"3\r\nabc\r\n0\r\nTrailing: a\r\nUser: b\r\n\r\n" + GET)
        assert (await next_answer(reader))[1] == b"host transfer-encoding"
        assert (await next_answer(reader))[1] == b"host"


async def test_a_body_may_come_in_as_many_chunks_as_it_likes() -> None:
    async with serving(mirror, max_head_bytes=1024) as server, dialled(server) as (reader, writer):
        writer.write(CHUNKED + b"1;note\r\na\r\n" * 50_000 + b"0\r\n\r\n")
        assert (await next_answer(reader))[1] == b"POST / " + b"a" * 50_000


@pytest.mark.parametrize(
    ("hosts", "version", "count"),
    [(b"", b"1.1", 0), (b"Host: a\r\nHost: a\r\n", b"1.1", 2), (b"Host: a\r\nHost: b\r\n", b"1.0", 2)],
)
async def test_one_host_is_wanted(hosts: bytes, version: bytes, count: int) -> None:
    status, message = await refusal(b"GET / HTTP/" + version + b"\r\n" + hosts + b"\r\n")
    assert (status, message) == (400, f"the request has {count} Host headers; it must have one")


async def test_an_old_caller_needs_no_host() -> None:
    async with serving(mirror) as server:
        for host in (b"", b"Host: x\r\n"):
            answer = await told(server, b"GET / HTTP/1.0\r\n" + host + b"\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("version", [b"2.0", b"0.9"])
async def test_another_version_is_refused(version: bytes) -> None:
    status, message = await refusal(b"GET / HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    assert status == 400
    assert message == f"the version is HTTP/{version.decode()}; allowed are HTTP/1.1 and HTTP/1.0"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (b"nonsense\r\n\r\n", "the request is not HTTP/1.1"),
        (b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", "the request's target is 'http://'; it must be a URL"),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", "the request is not HTTP/1.1"),
        (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "the request is not HTTP/1.1"),
        (CHUNKED + b"no size\r\n", "the request is not HTTP/1.1"),
    ],
)
async def test_what_is_no_request_is_refused(request_: bytes, message: str) -> None:
    status, said = await refusal(request_)
    assert status == 400
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("target", "path"), [(b"http://x/a?b", b"/a"), (b"http://x", b"/"), (b"*", b"*"), (b"/a%20b#c", b"/a b")]
)
async def test_every_form_of_target_is_read(target: bytes, path: bytes) -> None:
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        writer.write(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await next_answer(reader))[1] == b"OPTIONS " + path + b" "


async def test_a_request_that_would_upgrade_is_answered_as_it_is_and_so_is_the_next() -> None:
    upgrade = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        writer.write(upgrade + GET)
        assert [(await next_answer(reader))[1] for _ in range(2)] == [b"GET /a ", b"GET / "]


@pytest.mark.parametrize("garbage", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", CHUNKED + b"no size\r\n"])
async def test_requests_before_garbage_are_answered_and_then_the_garbage_is_refused(garbage: bytes) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02)
        await mirror(scope, receive, send)

    async with serving(slow) as server, dialled(server) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(3)) + garbage + GET)
        assert [(await next_answer(reader))[1] for _ in range(3)] == [b"GET /%d " % i for i in range(3)]
        head, _ = await next_answer(reader)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert await asyncio.wait_for(reader.read(), 10) == b""
