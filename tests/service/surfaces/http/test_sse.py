"""Server-sent events to a caller that does not read them."""

import asyncio

from service.errors import CallerBehind
from service.surfaces.http.disconnect import Receive, Scope, Send
from service.surfaces.http.sse import EventStream
from tests.service.surfaces.small_server import GET, dialled, serving

# More than the kernel's buffers between the two take.
LARGE = "x" * (32 << 20)


async def test_the_end_of_a_stream_waits_no_longer_for_its_reader_than_an_event_does() -> None:
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        events = EventStream(send, patience_s=0.3)
        await events.event({"large": LARGE})
        try:
            await events.end()
        except CallerBehind as error:
            ended.set_result(error)
            await events.fail(error)

    async with serving(stream) as server, dialled(server) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        error = await asyncio.wait_for(ended, 10)
        assert str(error) == "the caller has read nothing for 0.3 s"
        async with asyncio.timeout(10):
            while server.server_state.connections:  # noqa: ASYNC110  # a set of uvicorn's
                await asyncio.sleep(0.02)


async def test_a_stream_that_is_read_ends_as_it_should() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        events = EventStream(send, patience_s=5)
        await events.event({"large": LARGE})
        await events.event({}, "last")
        await events.end()

    async with serving(stream) as server, dialled(server) as (reader, writer):
        writer.write(GET.replace(b"1.1", b"1.0"))
        received = await asyncio.wait_for(reader.read(), 20)
    assert len(received) > len(LARGE)
    assert received.endswith(b"\n\nevent: last\ndata: {}\n\n")
