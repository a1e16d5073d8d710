"""HTTP/1.1 as a stranger may speak it, against a small app of each kind."""

import asyncio
import logging

import pytest

from service.surfaces.http.disconnect import Receive, Scope, Send
from tests.service.surfaces.small_server import GET, dialled, mirror, next_answer, reply, serving, told, whole


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        for i in range(3):
            writer.write(b"POST /%d%%20x?q HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" % i)
            head, body = await next_answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\ndate: " in head
            assert body == b"POST /%d x abc" % i


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    delays = iter((0.05, 0.0, 0.02))

    async def slower(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(next(delays))
        await mirror(scope, receive, send)

    async with serving(slower) as server, dialled(server) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(3)))
        assert [(await next_answer(reader))[1] for _ in range(3)] == [b"GET /%d " % i for i in range(3)]
        writer.write(GET)
        delays = iter((0.0,))
        assert (await next_answer(reader))[1] == b"GET / "


async def test_a_body_comes_in_pieces_however_large() -> None:
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        body = bytes(range(256)) * 8192  # 2 MiB, over what is buffered
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        assert (await next_answer(reader))[1] == b"POST / " + body
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.02)
        writer.write(b"2\r\nde\r\n0\r\n\r\n")
        assert (await next_answer(reader))[1] == b"POST / abcde"


async def test_what_nobody_reads_is_not_taken_in() -> None:
    read = asyncio.Event()

    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        await read.wait()
        await mirror(scope, receive, send)

    async with serving(later) as server, dialled(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (32 << 20))
        writer.write(bytes(32 << 20))
        left = 32 << 20
        while left != (left := writer.transport.get_write_buffer_size()):  # noqa: ASYNC110  # the kernel sets no event
            await asyncio.sleep(0.2)
        assert left > 16 << 20  # the rest is in the kernel's buffers
        read.set()
        assert len((await next_answer(reader))[1]) == (32 << 20) + len("POST / ")


async def test_a_caller_that_waits_for_it_is_told_to_go_on() -> None:
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert (await next_answer(reader))[1] == b"POST / ab"


async def test_an_old_caller_is_not_told_to_go_on() -> None:
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"ab")
        assert (await next_answer(reader))[1] == b"POST / ab"


async def test_a_refused_caller_is_not_told_to_go_on_and_its_body_harms_nobody() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"no", 413)

    async with serving(refuse) as server, dialled(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n")
        assert (await next_answer(reader))[0].startswith(b"HTTP/1.1 413 ")
        writer.write(bytes(2_000_000) + GET)
        assert (await next_answer(reader))[1] == b"no"


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET]
)
async def test_a_caller_that_wants_one_answer_gets_one_and_the_end(request_: bytes) -> None:
    async with serving(mirror) as server:
        answer = await told(server, request_)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"connection: close" in answer
    assert answer.endswith(b"GET / ")


async def test_head_has_the_head_only() -> None:
    async with serving(mirror) as server:
        answer = await told(server, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"content-length: 7\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for body in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body"})


async def test_an_answer_of_unknown_length_is_chunked() -> None:
    async with serving(stream) as server, dialled(server) as (reader, writer):
        for _ in range(2):
            writer.write(GET)
            assert b"transfer-encoding: chunked" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_an_old_caller_gets_it_up_to_the_end_of_the_connection() -> None:
    async with serving(stream) as server:
        assert (await told(server, b"GET / HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nonetwo")


async def test_a_stream_goes_no_faster_than_its_caller_reads() -> None:
    sent = 0

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for sent in range(1000):  # noqa: B007
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    async with serving(endless) as server, dialled(server) as (_, writer):
        writer.write(GET)
        before = 0
        while not sent or before != (before := sent):  # noqa: ASYNC110  # full buffers set no event
            await asyncio.sleep(0.2)
        assert sent < 100
        for task in server.server_state.tasks:
            task.cancel()


async def test_an_app_learns_that_its_caller_hung_up() -> None:
    learned = asyncio.Event()

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        await whole(receive)
        assert (await receive())["type"] == "http.disconnect"
        await reply(send, b"to nobody")
        learned.set()

    async with serving(listen) as server:
        async with dialled(server) as (_, writer):
            writer.write(GET)
            await asyncio.sleep(0.02)
        await asyncio.wait_for(learned.wait(), 10)


async def test_an_app_that_fails_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("a secret")

    async with serving(fail) as server:
        answer = await told(server, GET)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"secret" not in answer
    assert "a secret" in caplog.text


async def test_half_an_answer_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    caplog.set_level(logging.CRITICAL)
    async with serving(fail) as server:
        assert (await told(server, GET)).endswith(b"\r\n\r\nhalf")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET http:// HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000, b"431 Request Header Fields Too Large"),
        (b"GET /" + b"x" * 1_000_000, b"431 Request Header Fields Too Large"),
    ],
)
async def test_what_is_no_request_is_refused(request_: bytes, status: bytes) -> None:
    async with serving(mirror) as server, dialled(server) as (reader, writer):
        writer.write(request_)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
    assert answer == b"HTTP/1.1 " + status + b"\r\n"


async def test_nonsense_behind_a_request_is_refused_behind_its_answer() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await receive()
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body"})

    async with serving(slow) as server, dialled(server) as (reader, writer):
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"one\r\n"), 10)
        writer.write(b"nonsense\r\n\r\n")
        rest, _, refusal = (await asyncio.wait_for(reader.read(), 10)).partition(b"HTTP/1.1 ")
        assert rest == b"0\r\n\r\n"
        assert refusal.startswith(b"400 ")


async def test_half_a_head_has_its_time_and_a_caller_that_waits_has_more() -> None:
    async with serving(mirror, head_s=0.2) as server, dialled(server) as half, dialled(server) as idle:
        idle[1].write(GET)
        await next_answer(idle[0])
        half[1].write(b"GET / HTTP/1.1\r\nHost:")
        reading = asyncio.create_task(half[0].read())
        assert await asyncio.wait((reading,), timeout=0.1) == (set(), {reading})
        answer = await asyncio.wait_for(reading, 10)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert answer.endswith(b"the request's head did not arrive within 0.2 s\"}")
        idle[1].write(GET)
        assert (await next_answer(idle[0]))[1] == b"GET / "


async def test_stopping_lets_an_answer_out_first() -> None:
    inside = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        inside.set()
        await asyncio.sleep(0.2)
        await mirror(scope, receive, send)

    async with serving(slow) as server, dialled(server) as (reader, writer):
        writer.write(GET)
        await inside.wait()
        stopped = asyncio.create_task(server.stop())
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.endswith(b"GET / ")
        assert b"connection: close" in answer
        await stopped
