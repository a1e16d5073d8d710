import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import pytest

from service.engine.lane import Lane


class Results:
    """Keeps what a lane hands back, and on which thread."""

    def __init__(self, expected: int) -> None:
        self.values: list[object] = []
        self.threads: set[int] = set()
        self._expected = expected
        self._complete = asyncio.Event()

    def __call__(self, value: object) -> None:
        self.values.append(value)
        self.threads.add(threading.get_ident())
        if len(self.values) == self._expected:
            self._complete.set()

    async def all(self) -> list[object]:
        await self._complete.wait()
        return self.values


@contextmanager
def running_lane() -> Iterator[Lane]:
    lane = Lane("lane-test", asyncio.get_running_loop())
    try:
        yield lane
    finally:
        lane.stop()


def fail() -> NoReturn:
    raise ValueError("no such batch")


async def test_work_runs_on_the_lane_and_its_result_comes_back_on_the_loop() -> None:
    results = Results(1)
    with running_lane() as lane:
        lane.submit(threading.get_ident, results)
        [worked_on] = await results.all()
    assert results.threads == {threading.get_ident()}
    assert worked_on != threading.get_ident()


async def test_results_come_back_in_the_order_of_submission() -> None:
    results = Results(100)
    with running_lane() as lane:
        for i in range(100):
            lane.submit(lambda i=i: i, results)  # type: ignore[misc]
        assert await results.all() == list(range(100))


async def test_an_exception_comes_back_in_the_place_of_the_result_and_the_lane_goes_on() -> None:
    results = Results(3)
    with running_lane() as lane:
        lane.submit(lambda: 1, results)
        lane.submit(fail, results)
        lane.submit(lambda: 3, results)
        first, error, third = await results.all()
        assert lane.alive
    assert (first, third) == (1, 3)
    assert isinstance(error, ValueError)
    assert str(error) == "no such batch"


async def test_one_lane_does_one_thing_at_a_time() -> None:
    busy = threading.Lock()
    results = Results(50)

    def work() -> bool:
        alone = busy.acquire(blocking=False)
        busy.release()
        return alone

    with running_lane() as lane:
        for _ in range(50):
            lane.submit(work, results)
        assert all(await results.all())


async def test_a_stopped_lane_has_finished_the_calls_at_hand_and_ended() -> None:
    results = Results(3)
    gate = threading.Event()
    lane = Lane("lane-test", asyncio.get_running_loop())
    lane.submit(gate.wait, results)
    lane.submit(lambda: 2, results)
    lane.submit(fail, results)
    asyncio.get_running_loop().call_later(0.02, gate.set)
    await asyncio.to_thread(lane.stop)
    assert not lane.alive
    assert (await results.all())[:2] == [True, 2]


@pytest.mark.parametrize("fails", [False, True])
async def test_an_idle_lane_holds_on_to_nothing(fails: bool) -> None:
    array = np.zeros(1000)
    gone = weakref.ref(array)

    def work(array: np.ndarray[tuple[int], np.dtype[np.float64]] = array) -> float:
        return float(array[2000 if fails else 0])

    done = asyncio.Event()
    gc.disable()
    try:
        with running_lane() as lane:
            lane.submit(work, lambda result: done.set())
            del array, work
            await done.wait()
            for _ in range(100):  # until the lane has come round to waiting
                await asyncio.sleep(0.001)
                if gone() is None:
                    break
            assert gone() is None
    finally:
        gc.enable()
