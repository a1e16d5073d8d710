"""Many requests in one call, over a real connection."""

from collections.abc import AsyncGenerator, AsyncIterator
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


async def test_a_call_whose_first_answer_is_given_up_ends_at_once_and_says_why() -> None:
    gate = Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="")))

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        options: Any = {"answers": answers, "refusal": None, "at_once": 1, "patience_s": 0.0}
        await RequestStream("oip_grpc", gate, context, **options).serve(requests)

    handlers: Any = {"Stream": grpc.stream_stream_rpc_method_handler(stream)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        call: Any = channel.stream_stream(METHOD)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            [answer async for answer in call(asked(), timeout=10)]
    await server.stop(0)
    assert ended.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ended.value.details() == "the caller has read nothing for 0 s"
