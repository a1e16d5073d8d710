"""Under a server that is not ours: hearing that a caller hangs up, without our own server's way to say it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.errors import CallerGone
from service.surfaces.http.body import read_body
from service.surfaces.http.disconnect import Callers, Message, Receive, Scope, Send
from service.surfaces.http.hang_up import HangUps
from tests.service.surfaces.asgi import scope

BODY: Message = {"type": "http.request", "body": b"abc", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


async def told(messages: "asyncio.Queue[Message]", work: Callable[[], Awaitable[object]]) -> Any:
    """What `work` does inside `Caller` once it has the body; ``messages`` are what the server says."""
    outcome: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with Callers(body_s=10).caller(scope) as caller:
                assert await read_body(scope, receive, 100) == b"abc"
                caller.body_came()
                outcome.append(await work())
        except CallerGone as error:
            outcome.append(error)

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent")

    await HangUps(app)({"type": "http", **scope()}, messages.get, send)
    return outcome[0]


async def test_a_caller_that_hangs_up_ends_the_work() -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait(BODY)
    asked = asyncio.create_task(told(messages, asyncio.Event().wait))
    for _ in range(3):  # until it works
        await asyncio.sleep(0)
    messages.put_nowait(GONE)
    assert isinstance(await asked, CallerGone)


async def test_a_caller_that_hung_up_before_its_bodys_end_has_no_work_done() -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait({**BODY, "more_body": True})
    messages.put_nowait(GONE)
    assert isinstance(await told(messages, asyncio.Event().wait), CallerGone)
    await asyncio.sleep(0)  # nothing is left that would cancel the next request's task


async def test_nothing_listens_on_once_the_request_is_answered() -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait(BODY)
    before = asyncio.all_tasks()
    assert await told(messages, lambda: asyncio.sleep(0, "done")) == "done"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_http_request_is_passed_on_as_it_is(kind: str) -> None:
    came: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(scope)

    await HangUps(app)({"type": kind}, asyncio.Queue().get, lambda _: asyncio.sleep(0))
    assert came == [{"type": kind}]
