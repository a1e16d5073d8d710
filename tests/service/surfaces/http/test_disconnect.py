"""Looking after callers: a body that does not come, a caller that hangs up."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.errors import CallerGone, DeadlineExceeded
from service.surfaces.http import disconnect
from service.surfaces.http.body import read_body
from service.surfaces.http.disconnect import LOOK_S, ON_HANG_UP, Callers
from tests.service.surfaces.asgi import Receive, body, scope


class Line:
    """A server's side of one request: what it calls when the caller hangs up."""

    def __init__(self) -> None:
        self.call: Callable[[], None] | None = None
        self.gone = False

    @property
    def scope(self) -> dict[str, Any]:
        return scope() | {ON_HANG_UP: self.on_hang_up}

    def on_hang_up(self, call: Callable[[], None] | None) -> bool:
        self.call = call
        return not self.gone

    def hang_up(self) -> None:
        self.gone = True
        if self.call is not None:
            self.call()


@contextmanager
def working(line: Line) -> Iterator[None]:
    """The work after a body has been read."""
    with Callers(body_s=0).caller(line.scope) as caller:
        caller.body_came()
        yield


async def test_long_work_for_a_caller_that_stays_is_undisturbed() -> None:
    with working(Line()):
        assert await asyncio.sleep(3 * LOOK_S, "answer") == "answer"


async def test_work_ends_in_the_iteration_of_the_loop_in_which_its_caller_hangs_up() -> None:
    line = Line()
    asyncio.get_running_loop().call_soon(line.hang_up)
    iterations = iter(range(1000))

    async def iterate() -> None:
        for _ in iterations:
            await asyncio.sleep(0)

    with pytest.raises(CallerGone), working(line):
        await iterate()
    assert next(iterations) < 4


async def test_nothing_begins_for_a_caller_that_has_hung_up() -> None:
    line = Line()
    line.hang_up()
    with pytest.raises(CallerGone), working(line):
        raise AssertionError("it began")


async def test_a_caller_that_hangs_up_after_its_work_disturbs_nobody() -> None:
    line = Line()
    with working(line):
        await asyncio.sleep(0)
    line.hang_up()
    assert await asyncio.sleep(0, "still here") == "still here"


async def test_the_task_may_go_on_after_its_caller_has_gone() -> None:
    task, line = asyncio.current_task(), Line()
    assert task is not None
    asyncio.get_running_loop().call_soon(line.hang_up)
    with pytest.raises(CallerGone), working(line):
        await asyncio.sleep(20)
    assert task.cancelling() == 0
    assert await asyncio.sleep(0, "still here") == "still here"


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with working(Line()):
            await asyncio.sleep(20)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_passes_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), working(Line()):
        await fail()


async def test_a_body_that_does_not_come_is_given_up() -> None:
    receive = Receive(body(b"abc", b"unsent")[:1])
    with (
        pytest.raises(DeadlineExceeded, match=r"body did not arrive within 0\.01 s"),
        Callers(body_s=0.01).caller(Line().scope),
    ):
        await read_body(scope(), receive, 10)
    assert receive.left == []


class Clock:
    """In the place of `time`: moves when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


async def test_a_body_may_take_its_time_but_no_more_and_disturbs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, callers = Clock(), Callers(body_s=20)
    monkeypatch.setattr(disconnect, "time", clock)

    async def read(comes: asyncio.Event) -> bytes:
        chunks = body(b"abc", b"def")

        async def receive() -> dict[str, object]:
            await comes.wait()
            return dict(chunks.pop(0))

        with callers.caller(Line().scope) as caller:
            read = await read_body(scope(), receive, 10)
            caller.body_came()
            return read

    at_once, in_time, never = (asyncio.Event() for _ in range(3))
    at_once.set()
    reads = [asyncio.create_task(read(comes)) for comes in (at_once, in_time, never)]
    assert await reads[0] == b"abcdef"
    clock.now_s = 20
    await asyncio.sleep(2 * LOOK_S)  # it has looked
    in_time.set()
    assert await reads[1] == b"abcdef"
    assert not reads[2].done()
    clock.now_s = 20.1
    with pytest.raises(DeadlineExceeded, match="the request's body did not arrive within 20 s"):
        await reads[2]


async def test_nobody_looks_where_nobody_is_inside() -> None:
    looks = 0

    class Counted(Callers):
        def _look(self) -> None:
            nonlocal looks
            looks += 1
            super()._look()

    callers = Counted(body_s=20)
    for _ in range(3):
        with callers.caller(Line().scope):
            await asyncio.sleep(0)
    await asyncio.sleep(4 * LOOK_S)
    assert looks == 1
    with callers.caller(Line().scope):
        await asyncio.sleep(3 * LOOK_S)
    assert looks > 1


async def test_what_a_request_held_goes_with_its_caller() -> None:
    class Held:
        """Such as a body."""

    async def hold(line: Line) -> "weakref.ref[Held]":
        held = Held()
        asyncio.get_running_loop().call_soon(line.hang_up)
        found = weakref.ref(held)
        try:
            with Callers(body_s=0).caller(line.scope) as caller:
                caller.body_came()
                await asyncio.sleep(10)
        except CallerGone:
            pass
        return found

    gc.disable()  # in a server it comes to errors too seldom
    try:
        assert (await asyncio.create_task(hold(Line())))() is None
    finally:
        gc.enable()
