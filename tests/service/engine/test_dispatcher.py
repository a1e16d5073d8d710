"""Quick batches on the event loop: a single request runs at once, requests that follow each other run together."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from service.engine import Answer, Engine
from service.engine.gathering import ENOUGH, PROBE_EVERY, QUIET_ITERATIONS
from tests.packages import MAX_BATCH, example, write_package
from tests.service.engine.asking import ask, check_all, run_on, serving, settled


def executions(engine: Engine, model: str = "tiny") -> int:
    return engine.repository.get(model, "1").statistics.execution_count


async def trickle(engine: Engine, count: int) -> None:
    """``count`` callers, one in each iteration of the event loop; check their answers."""
    callers = []
    for seed in range(count):
        callers.append(ask(engine, example(1, seed)))
        await asyncio.sleep(0)
    await check_all(callers, *[1] * count)


async def test_requests_of_successive_iterations_share_batches(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        await trickle(engine, 3 * MAX_BATCH)
        assert executions(engine) <= 4


async def test_one_caller_alone_is_answered_without_waiting_for_others_but_now_and_then(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        iterations = [await iterations_of_one(engine) for _ in range(2 * PROBE_EVERY)]
    assert sum(count > QUIET_ITERATIONS for count in iterations) == 2
    assert sorted(iterations)[-3] <= 4


async def iterations_of_one(engine: Engine) -> int:
    """How many iterations of the event loop one request takes."""
    caller = ask(engine, example(1))
    iterations = 0
    while not caller.done():
        await asyncio.sleep(0)
        iterations += 1
    return iterations


async def test_no_stream_of_newcomers_keeps_a_quick_batch_waiting(tmp_path: Path) -> None:
    write_package(tmp_path)
    async with serving(tmp_path, max_queue_rows=10_000) as engine:
        run_on(engine, lanes=False)
        first = ask(engine, example(1))
        flood = []
        while not first.done():
            flood.append(ask(engine, example(1)))
            await asyncio.sleep(0)
        assert len(flood) <= ENOUGH + 2
        await asyncio.gather(*flood)
        await settled(engine)


async def test_work_for_a_lane_is_not_kept_waiting_by_quick_requests(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        engine.repository.get("other").session.inline_rows = 0
        small = [ask(engine, example(1)) for _ in range(4)]
        large = ask(engine, example(8), model="other", version=None)
        await asyncio.sleep(0)  # they ask
        await asyncio.sleep(0)  # the dispatcher looks
        assert not engine._dispatcher._idle
        await asyncio.gather(large, *small)


async def crowd(engine: Engine, model: str, until: Callable[[], bool]) -> list[asyncio.Task[Answer]]:
    """Callers of a model, one in each iteration of the event loop, until ``until`` is true."""
    callers = []
    while not until():
        callers.append(ask(engine, example(1), model=model, version=None))
        await asyncio.sleep(0)
    return callers


@pytest.mark.parametrize("crowded_on_lanes", [False, True])
async def test_the_traffic_of_one_model_keeps_no_quick_request_of_another_waiting(
    crowded_on_lanes: bool, repository: Path
) -> None:
    async with serving(repository, max_queue_rows=10_000) as engine:
        run_on(engine, lanes=False)
        if crowded_on_lanes:
            engine.repository.get("other").session.inline_rows = 0
        for model in ("tiny", "other"):  # the first of each would wait for others, to see whether they come
            await ask(engine, example(1), model=model, version=None)
        together = [ask(engine, example(1), model="other", version=None) for _ in range(2)]
        await asyncio.gather(*together)  # now it waits for more
        alone = ask(engine, example(1), model="tiny", version=None)
        others = await crowd(engine, "other", alone.done)
        assert len(others) <= 6
        await asyncio.gather(*others)


async def test_a_model_gathers_as_well_beside_the_traffic_of_another(repository: Path) -> None:
    async with serving(repository, max_queue_rows=10_000) as engine:
        run_on(engine, lanes=False)
        done = asyncio.create_task(trickle(engine, 3 * MAX_BATCH))
        others = await crowd(engine, "other", done.done)
        await asyncio.gather(done, *others)
        assert executions(engine) <= 4
