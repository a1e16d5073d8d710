"""How an engine begins and ends, its lanes, and all of it at once."""

import asyncio
import random
import threading
from pathlib import Path

import pytest

from service.engine import Options
from service.errors import (
    DeadlineExceeded,
    Draining,
    InvalidPackage,
    QueueFull,
)
from tests.packages import CLASSES, example, write_package
from tests.service.engine.asking import ask, check_answer, run_on, serving, waiting_rows
from tests.service.engine.gate import Gate


def lane_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("lane-")}


async def test_an_engine_is_ready_between_entry_and_exit_and_its_lanes_end_with_it(repository: Path) -> None:
    before = lane_threads()
    engine = serving(repository, lanes=3)
    ready = [engine.ready]
    async with engine:
        ready.append(engine.ready)
        assert len(lane_threads() - before) == 3
    assert [*ready, engine.ready] == [False, True, False]
    assert lane_threads() == before


async def test_an_engine_that_lost_a_lane_is_not_ready(repository: Path) -> None:
    async with serving(repository, lanes=2) as engine:
        engine._dispatcher._lanes[0].stop()
        assert not engine.ready


async def test_an_engine_that_may_not_serve_a_package_leaves_no_lane_behind(tmp_path: Path) -> None:
    before = lane_threads()
    (write_package(tmp_path) / "labels.txt").unlink()
    engine = serving(tmp_path)
    with pytest.raises(InvalidPackage, match=r"labels.txt"):
        await engine.__aenter__()
    assert not engine.ready
    assert lane_threads() == before


async def test_what_runs_when_the_engine_ends_is_answered(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(2))
            await gate.reached(1)
            asyncio.get_running_loop().call_later(0.02, gate.open)
            await engine.__aexit__(None, None, None)
        check_answer(await running, example(2))


async def test_who_waits_when_the_engine_ends_or_comes_later_is_told_so(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(2))
            await gate.reached(1)
            waiting = ask(engine, example(3))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.02, gate.open)
            await engine.__aexit__(None, None, None)
        check_answer(await running, example(2))
        for late in (waiting, ask(engine, example(1))):
            with pytest.raises(Draining, match="the engine has stopped"):
                await late


@pytest.mark.parametrize("lanes", [0, 1, 3])
@pytest.mark.parametrize("seed", range(5))
async def test_whoever_leaves_or_runs_late_everyone_else_gets_the_answer_to_its_own_rows(
    seed: int, lanes: int, repository: Path
) -> None:
    draw = random.Random(seed)
    async with serving(repository, lanes=max(lanes, 1), max_queue_rows=200) as engine:
        run_on(engine, lanes=lanes > 0)

        async def call(number: int) -> str:
            images = example(draw.choice((1, 1, 2, 3, 8, 20)), seed=number)
            timeout_s = draw.choice((None, None, None, 0.0005, 0.003))
            await asyncio.sleep(draw.random() * 0.03)
            try:
                options = Options(timeout_s=timeout_s)
                check_answer(await engine.infer("tiny", "1", {"image": images}, options=options), images)
            except DeadlineExceeded:
                assert timeout_s is not None
                return "late"
            except QueueFull:
                return "refused"
            return "answered"

        callers = [asyncio.create_task(call(number)) for number in range(200)]
        leaving = draw.sample(callers, 60)
        for caller in leaving:
            asyncio.get_running_loop().call_later(draw.random() * 0.04, caller.cancel)
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {str, asyncio.CancelledError}
        assert not any(caller.cancelled() for caller in set(callers) - set(leaving))
        assert "answered" in outcomes
        assert waiting_rows() == 0
        check_answer(await engine.infer("tiny", "1", {"image": example(CLASSES)}), example(CLASSES))
