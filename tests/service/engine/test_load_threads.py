"""Loads run side by side, each for so long at most; one that does not end is left behind."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.engine import load_threads as load_threads_module
from service.engine.load_threads import LoadThreads
from service.errors import InvalidPackage, QueueFull


@asynccontextmanager
async def hanging(threads: LoadThreads, loads: int) -> AsyncIterator[threading.Event]:
    """So many loads were left behind; they end when the event is set, or this block ends."""
    end = threading.Event()
    try:
        for _ in range(loads):
            with pytest.raises(InvalidPackage, match=r"slow: not loaded within load_s, 0.5 s"):
                await threads.run("slow", end.wait)
        yield end
    finally:
        end.set()


async def test_as_many_run_side_by_side_as_may() -> None:
    threads = LoadThreads(2, 10)
    both = threading.Barrier(2)
    assert sorted(await asyncio.gather(*(threads.run("x", lambda: both.wait(10)) for _ in range(2)))) == [0, 1]


async def test_one_more_waits_until_another_has_ended() -> None:
    threads, end = LoadThreads(1, 10), threading.Event()
    first = asyncio.create_task(threads.run("first", lambda: end.wait(10)))
    second = asyncio.create_task(threads.run("second", lambda: end.is_set()))
    await asyncio.sleep(0.02)
    end.set()
    assert [await first, await second] == [True, True]


async def test_errors_are_the_works_own_even_that_a_time_is_over() -> None:
    def fail() -> None:
        raise TimeoutError("the share is away")

    with pytest.raises(TimeoutError, match="the share is away"):
        await LoadThreads(1, 10).run("x", fail)


async def test_a_load_that_is_left_behind_frees_its_place() -> None:
    threads = LoadThreads(1, 0.5)
    async with hanging(threads, 1):
        assert await threads.run("quick", lambda: 5) == 5


async def test_no_load_is_begun_while_too_many_that_were_left_behind_still_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_threads_module, "MAX_ABANDONED", 2)
    threads = LoadThreads(1, 0.5)
    async with hanging(threads, 2) as end:
        with pytest.raises(QueueFull, match=r"2 loads that took longer than load_s, 0.5 s, still run"):
            await threads.run("quick", lambda: 5)
        left_behind = [thread for thread in threading.enumerate() if thread.name == "loader slow"]
        end.set()
        for thread in left_behind:
            thread.join(10)
        assert await threads.run("quick", lambda: 5) == 5
