"""Quick batches on the loop: alone at once, together where requests follow each other."""

import asyncio
from pathlib import Path

from service.engine import Engine
from service.engine.dispatcher import ENOUGH, PROBE_EVERY, QUIET_TURNS
from tests.packages import MAX_BATCH, example, write_package
from tests.service.engine.asking import ask, check_all, run_on, serving, settled


def executions(engine: Engine, model: str = "tiny") -> int:
    return engine.repository.get(model, "1").statistics.execution_count


async def trickle(engine: Engine, count: int) -> None:
    """So many callers, each a turn of the loop after the one before; check their answers."""
    callers = []
    for seed in range(count):
        callers.append(ask(engine, example(1, seed)))
        await asyncio.sleep(0)
    await check_all(callers, *[1] * count)


async def test_requests_that_follow_each_other_turn_by_turn_share_batches(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        await trickle(engine, 3 * MAX_BATCH)
        assert executions(engine) <= 4


async def test_one_caller_alone_is_answered_without_waiting_for_others_but_now_and_then(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        turns = [await turns_of_one(engine) for _ in range(2 * PROBE_EVERY)]
    assert sum(count > QUIET_TURNS for count in turns) == 2
    assert sorted(turns)[-3] <= 4


async def turns_of_one(engine: Engine) -> int:
    """How many turns of the loop one request takes."""
    caller = ask(engine, example(1))
    turns = 0
    while not caller.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


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
