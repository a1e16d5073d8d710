"""Watching for a caller that hangs up."""

import asyncio

import pytest

from service.errors import CallerGone
from service.surfaces.disconnect import PATIENCE_S, CallerWatch
from tests.service.surfaces.asgi import DISCONNECT, Receive, body


async def test_work_that_ends_first_is_undisturbed() -> None:
    with CallerWatch(Receive([DISCONNECT])):
        answer = await asyncio.sleep(0, "answer")
    await asyncio.sleep(2 * PATIENCE_S)
    assert answer == "answer"


async def test_long_work_for_a_caller_that_stays_is_undisturbed() -> None:
    with CallerWatch(Receive([])):
        assert await asyncio.sleep(3 * PATIENCE_S, "answer") == "answer"


async def test_work_ends_when_its_caller_hangs_up() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(CallerGone), CallerWatch(Receive([DISCONNECT])):
        await asyncio.sleep(20)
    assert asyncio.get_running_loop().time() - began < 5


async def test_what_a_caller_still_sends_is_no_hanging_up() -> None:
    with CallerWatch(Receive(body(b"more", b"and more"))):
        assert await asyncio.sleep(3 * PATIENCE_S, "answer") == "answer"


async def test_the_task_may_go_on_after_its_caller_has_gone() -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(CallerGone), CallerWatch(Receive([DISCONNECT])):
        await asyncio.sleep(20)
    assert task.cancelling() == 0
    assert await asyncio.sleep(0, "still here") == "still here"


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with CallerWatch(Receive([])):
            await asyncio.sleep(20)

    task = asyncio.create_task(work())
    await asyncio.sleep(2 * PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_passes_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(2 * PATIENCE_S)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), CallerWatch(Receive([])):
        await fail()


async def test_nothing_watches_on_once_the_work_is_done() -> None:
    before = asyncio.all_tasks()
    with CallerWatch(Receive([])):
        await asyncio.sleep(2 * PATIENCE_S)
        assert len(asyncio.all_tasks() - before) == 1
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before
