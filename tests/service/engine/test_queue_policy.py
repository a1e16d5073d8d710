"""The effect of a card's serving section on requests: levels, queue timeouts and sizes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.engine import Answer, Engine
from service.errors import DeadlineExceeded, InvalidArgument, QueueFull
from tests.packages import MAX_BATCH, example, write_package
from tests.service.engine.asking import ask, check_answer, serving, settled, waiting_rows
from tests.service.engine.gate import Gate


def batching(levels: int = 1, default: int = 1, **policy: Any) -> dict[str, Any]:
    """A serving section."""
    settings = {"priority_levels": levels, "default_priority_level": default, "default_queue_policy": policy}
    return {"dynamic_batching": settings}


async def busy(engine: Engine, gate: Gate) -> list[asyncio.Task[Answer]]:
    """Callers that keep the lane, and the batch after this one, to themselves while the gate is closed."""
    callers = [ask(engine, example(MAX_BATCH, seed=90)), ask(engine, example(MAX_BATCH, seed=91))]
    await gate.reached(1)
    return callers


async def test_a_high_level_is_run_before_who_came_earlier(tmp_path: Path) -> None:
    write_package(tmp_path, serving=batching(levels=3, default=2))
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = await busy(engine, gate)
            callers = {level: ask(engine, example(8, level), priority=level) for level in (3, 2, 0, 1)}
            await asyncio.sleep(0)
        for level, caller in callers.items():
            check_answer(await caller, example(8, level))
        await asyncio.gather(*first)
        order = [int(run.input[0, 0, 0]) for run in gate.runs[2:]]
        assert order == [int(example(8, level)[0, 0, 0]) for level in (1, 2, 0, 3)]
        await settled(engine)


async def test_levels_share_a_batch_where_there_is_room(tmp_path: Path) -> None:
    write_package(tmp_path, serving=batching(levels=2))
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = await busy(engine, gate)
            callers = [ask(engine, example(3, seed), priority=2 - seed) for seed in range(2)]
            await asyncio.sleep(0)
        for seed, caller in enumerate(callers):
            check_answer(await caller, example(3, seed))
        await asyncio.gather(*first)
        assert gate.rows == [8, 8, 6]


async def test_a_level_the_card_does_not_have_is_refused(repository: Path) -> None:
    async with serving(repository) as engine:
        with pytest.raises(InvalidArgument, match=r"priority is 2; model 'tiny' allows 0 \(the default\) to 1"):
            await ask(engine, example(1), priority=2)
        await settled(engine)


async def test_who_is_not_taken_within_the_cards_queue_timeout_is_refused(tmp_path: Path) -> None:
    write_package(tmp_path, serving=batching(default_timeout_microseconds=20_000))
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            taken = await busy(engine, gate)
            waits = ask(engine, example(1))
            with pytest.raises(DeadlineExceeded, match=r"model 'tiny': not taken from the queue in 0\.02 s"):
                await waits
            assert waiting_rows() == MAX_BATCH
        # One ran and one was joined for the next batch: both had been taken.
        for seed, caller in zip((90, 91), taken, strict=True):
            check_answer(await caller, example(MAX_BATCH, seed))
        assert engine.repository.get("tiny").statistics.failures == {"OTHER": 1}
        await settled(engine)


@pytest.mark.parametrize(("allowed", "refused"), [(True, True), (False, False)])
async def test_a_request_may_ask_for_a_shorter_queue_timeout_where_the_card_allows_it(
    allowed: bool, refused: bool, tmp_path: Path
) -> None:
    write_package(tmp_path, serving=batching(default_timeout_microseconds=10_000_000, allow_timeout_override=allowed))
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            taken = await busy(engine, gate)
            waits = ask(engine, example(1), queue_timeout_s=0.02)
            await asyncio.wait([waits], timeout=10 if refused else 0.1)
            assert waits.done() == refused
        if refused:
            with pytest.raises(DeadlineExceeded, match=r"not taken from the queue in 0\.02 s"):
                await waits
        else:
            check_answer(await waits, example(1))
        await asyncio.gather(*taken)


async def test_where_the_card_says_continue_who_waits_too_long_is_served_behind_all_others(tmp_path: Path) -> None:
    timeouts = {"default_timeout_microseconds": 10_000_000, "allow_timeout_override": True}
    write_package(tmp_path, serving=batching(timeout_action="continue", **timeouts))
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            taken = await busy(engine, gate)
            overdue = ask(engine, example(8, 1), queue_timeout_s=0.02)
            await asyncio.sleep(0.05)
            in_time = [ask(engine, example(8, seed)) for seed in (2, 3)]
            await asyncio.sleep(0)
        for seed, caller in zip((1, 2, 3), (overdue, *in_time), strict=True):
            check_answer(await caller, example(8, seed))
        await asyncio.gather(*taken)
        order = [int(run.input[0, 0, 0]) for run in gate.runs[2:]]
        assert order == [int(example(8, seed)[0, 0, 0]) for seed in (2, 3, 1)]
        await settled(engine)


@pytest.mark.parametrize(("size", "limit"), [(3, 3), (0, 5), (7, 7)])
async def test_the_cards_queue_size_stands_in_the_place_of_the_servers(size: int, limit: int, tmp_path: Path) -> None:
    write_package(tmp_path, serving=batching(max_queue_size=size))
    async with serving(tmp_path, max_queue_rows=5) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            waiting = [ask(engine, example(1)) for _ in range(limit)]
            await asyncio.sleep(0)
            with pytest.raises(QueueFull, match=f"the queue holds {limit} of at most {limit} rows"):
                await ask(engine, example(1))
        await asyncio.gather(running, *waiting)
        assert engine.repository.get("tiny").statistics.failures == {"REJECTED": 1}
        await settled(engine)


async def test_a_model_of_higher_priority_takes_every_turn_while_it_has_work(tmp_path: Path) -> None:
    write_package(tmp_path, "low", 1, serving={"priority": 3})
    write_package(tmp_path, "high", 1)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            low = [ask(engine, example(8, seed), model="low") for seed in range(3)]
            await gate.reached(1)
            high = [ask(engine, example(8, seed), model="high") for seed in range(3)]
            await asyncio.sleep(0)
        for callers in (low, high):
            for seed, caller in enumerate(callers):
                check_answer(await caller, example(8, seed))
    assert gate.models == ["low", "high", "high", "high", "low", "low"]


async def test_a_request_counts_by_how_it_ended(repository: Path) -> None:
    async with serving(repository, max_queue_rows=4) as engine:
        gate = Gate(engine)
        statistics = engine.repository.get("fragile").statistics
        with gate.closed():
            running = ask(engine, example(1), model="fragile")
            await gate.reached(1)
            cancelled, late, waits = (
                ask(engine, example(1), model="fragile", timeout_s=timeout_s) for timeout_s in (None, 0.01, None)
            )
            await asyncio.sleep(0)
            with pytest.raises(QueueFull):
                await ask(engine, example(2), model="fragile")
            cancelled.cancel()
            with pytest.raises(DeadlineExceeded):
                await late
        await asyncio.gather(running, waits)
        white = example(1)
        white[...] = 255
        with pytest.raises(Exception, match="failed on this request"):
            await ask(engine, white, model="fragile")
        assert statistics.failures == {"REJECTED": 1, "CANCELED": 1, "OTHER": 1, "BACKEND": 1}
        assert (statistics.success.count, statistics.fail.count) == (2, 3)
        await settled(engine)
