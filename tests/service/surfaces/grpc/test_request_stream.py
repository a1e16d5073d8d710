"""Many requests in one call, over a real connection."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from service.engine import Engine
from service.surfaces.gate import Call, Gate
from service.surfaces.grpc.request_stream import RequestStream
from tests.serving import HOST

METHOD = "/test.Test/Stream"


async def answers(request: bytes, call: Call) -> AsyncGenerator[bytes]:
    yield request


async def asked() -> AsyncIterator[bytes]:
    yield b"something"


@asynccontextmanager
async def streaming(stream: Callable[[AsyncIterator[bytes], Any], Awaitable[None]]) -> AsyncIterator[tuple[Any, Any]]:
    """A server with that method, and the method as its callers have it."""
    handlers: Any = {"Stream": grpc.stream_stream_rpc_method_handler(stream)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        yield server, channel.stream_stream(METHOD)
    await server.stop(0)


def open_gate() -> Gate:
    return Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="")))


async def test_a_call_whose_first_answer_is_given_up_ends_at_once_and_says_why() -> None:
    gate = open_gate()

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        options: Any = {"answers": answers, "refusal": None, "at_once": 1, "patience_s": 0.0}
        await RequestStream("oip_grpc", gate, context, **options).serve(requests)

    async with streaming(stream) as (_, method):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            [answer async for answer in method(asked(), timeout=10)]
    assert ended.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ended.value.details() == "the caller has read nothing for 0 s"


async def test_a_stream_that_is_open_when_the_server_stops_ends_without_an_error_of_ours() -> None:
    gate, stopped = open_gate(), asyncio.Event()
    serving: asyncio.Future[asyncio.Task[None]] = asyncio.get_running_loop().create_future()

    async def late(request: bytes, call: Call) -> AsyncGenerator[bytes]:
        await stopped.wait()
        for nothing in list[bytes]():
            yield nothing

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        options: Any = {"answers": late, "refusal": lambda *_: b"", "at_once": 1, "patience_s": 10.0}
        serve = RequestStream("oip_grpc", gate, context, **options).serve(requests)
        serving.set_result(task := asyncio.create_task(serve))
        # The library cancels the call, but this stream does not learn of it before it reads on.
        await asyncio.shield(task)

    async with streaming(stream) as (server, method):
        call = method(timeout=10)
        await call.write(b"ends too late")
        await call.write(b"never read")
        task = await serving
        await server.stop(0)
        stopped.set()
        await asyncio.wait_for(task, 10)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
