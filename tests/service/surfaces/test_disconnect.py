"""Looking after callers: a body that does not come, a caller that hangs up."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.errors import CallerGone, DeadlineExceeded
from service.surfaces.body import read_body
from service.surfaces.disconnect import PATIENCE_S, Callers
from tests.service.surfaces.asgi import DISCONNECT, Receive, body, scope


@contextmanager
def listening(receive: Receive) -> Iterator[None]:
    """The work after a body has been read."""
    with Callers(body_s=0).caller(receive) as caller:
        caller.listens()
        yield


async def test_work_that_ends_first_is_undisturbed() -> None:
    with listening(Receive([DISCONNECT])):
        answer = await asyncio.sleep(0, "answer")
    await asyncio.sleep(3 * PATIENCE_S)
    assert answer == "answer"


async def test_long_work_for_a_caller_that_stays_is_undisturbed() -> None:
    with listening(Receive([])):
        assert await asyncio.sleep(4 * PATIENCE_S, "answer") == "answer"


async def test_work_ends_when_its_caller_hangs_up() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(CallerGone), listening(Receive([DISCONNECT])):
        await asyncio.sleep(20)
    assert asyncio.get_running_loop().time() - began < 5


async def test_what_a_caller_still_sends_is_no_hanging_up() -> None:
    with listening(Receive(body(b"more", b"and more"))):
        assert await asyncio.sleep(4 * PATIENCE_S, "answer") == "answer"


async def test_the_task_may_go_on_after_its_caller_has_gone() -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(CallerGone), listening(Receive([DISCONNECT])):
        await asyncio.sleep(20)
    assert task.cancelling() == 0
    assert await asyncio.sleep(0, "still here") == "still here"


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with listening(Receive([])):
            await asyncio.sleep(20)

    task = asyncio.create_task(work())
    await asyncio.sleep(3 * PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_passes_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(3 * PATIENCE_S)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), listening(Receive([])):
        await fail()


async def test_nothing_watches_on_once_the_work_is_done() -> None:
    before = asyncio.all_tasks()
    with listening(Receive([])):
        await asyncio.sleep(4 * PATIENCE_S)
        assert len(asyncio.all_tasks() - before) == 1
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


async def test_a_body_that_does_not_come_is_given_up() -> None:
    with (
        pytest.raises(DeadlineExceeded, match=r"body did not come within 0\.01 s"),
        Callers(body_s=0.01).caller(receive := Receive(body(b"abc", b"unsent")[:1])),
    ):
        await read_body(scope(), receive, 10)
    assert receive.left == []


async def test_a_body_may_take_its_time_but_no_more_and_disturbs_no_other() -> None:
    callers = Callers(body_s=0.5)

    async def read(pause_s: float) -> bytes:
        chunks = body(b"abc", b"def")

        async def receive() -> dict[str, object]:
            await asyncio.sleep(pause_s)
            return dict(chunks.pop(0))

        with callers.caller(receive) as caller:
            read = await read_body(scope(), receive, 10)
            caller.listens()
            return read

    ends = await asyncio.gather(*map(read, (0, PATIENCE_S, 20)), return_exceptions=True)
    assert ends[:2] == [b"abcdef"] * 2
    assert isinstance(ends[2], DeadlineExceeded)


async def test_nobody_looks_where_nobody_is_inside() -> None:
    looks = 0

    class Counted(Callers):
        def _look(self) -> None:
            nonlocal looks
            looks += 1
            super()._look()

    callers = Counted(body_s=20)
    for _ in range(3):
        with callers.caller(Receive([])):
            await asyncio.sleep(0)
    await asyncio.sleep(5 * PATIENCE_S)
    assert looks == 1
    with callers.caller(Receive([])):
        await asyncio.sleep(3 * PATIENCE_S)
    assert looks > 1
