"""How requests to step loops share steps, slots and lanes."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Options
from tests.packages import assert_close, example
from tests.service.engine.asking import (
    ask,
    check_answer,
    check_tokens,
    label,
    serving,
    settled,
    stream,
    token,
    waiting_rows,
)
from tests.service.engine.gate import Gate
from tests.step_packages import SLOTS, diffusion, write_chars


async def test_requests_of_different_lengths_share_their_steps(loops: Path, single_steps: None) -> None:
    lengths = (3, 12, 7, 5)
    async with serving(loops) as engine:
        callers = [stream(engine, "endless", steps=steps, seed=seed) for seed, steps in enumerate(lengths)]
        for seed, caller in enumerate(callers):
            check_tokens(await caller, seed, lengths[seed], ends=False)
        statistics = engine.repository.get("endless").statistics
    assert statistics.execution_count == max(lengths)
    assert statistics.inference_count == sum(lengths)
    assert sorted(statistics.batches) == [1, 2, 3, 4]


async def test_a_newcomer_joins_at_the_next_step_and_hears_of_it_before_the_one_after(
    loops: Path, single_steps: None
) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            long = stream(engine, "endless", steps=50, seed=1)
            await gate.reached(1)
            await gate.let(3)
            newcomer = engine.steps("endless", None, token(), options=Options(steps=2, seed=2))
            async with aclosing(newcomer):
                first = asyncio.ensure_future(anext(newcomer))
                await asyncio.sleep(0)
                await gate.let(1)
                assert gate.runs[-1].input.tolist() == [4, 0]  # with the row that has taken four steps
                await gate.let(1)
                assert (await first).step == 1
        check_tokens(await long, 1, 50, ends=False)


async def test_the_steps_of_a_loop_that_is_alone_share_a_work_item_except_a_newcomers_first(
    loops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.steps.RUN_ON_S", 10.0)
    async with serving(loops) as engine:
        items = work_items_of(engine)
        check_tokens(await stream(engine, "endless", steps=100, seed=1), 1, 100, ends=False)
    assert items == ["endless"] * 2


@pytest.fixture
def long_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop keeps its lane for as long as nothing else waits."""
    monkeypatch.setattr("service.engine.steps.RUN_ON_S", 1000.0)


async def test_a_long_work_item_ends_when_a_request_for_another_model_comes(loops: Path, long_items: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            long = stream(engine, "endless", steps=50, seed=1)
            await gate.reached(1)
            await gate.let(5)
            once = ask(engine, example(1))
            await asyncio.sleep(0)
            await gate.let(1)
            assert gate.models == ["endless"] * 6 + ["tiny"]
        check_answer(await once, example(1))
        check_tokens(await long, 1, 50, ends=False)


async def test_a_long_work_item_ends_when_there_is_room_for_a_newcomer(loops: Path, long_items: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            long = stream(engine, "endless", steps=50, seed=1)
            await gate.reached(1)
            await gate.let(5)
            joins = stream(engine, "endless", steps=2, seed=2)
            await asyncio.sleep(0)
            await gate.let(1)
            assert gate.runs[-1].input.tolist() == [6, 0]
        check_tokens(await joins, 2, 2, ends=False)
        check_tokens(await long, 1, 50, ends=False)


async def test_a_request_that_leaves_in_a_long_work_item_is_not_in_the_next_step(loops: Path, long_items: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            leaves = stream(engine, "endless", token(3), steps=50)
            stays = stream(engine, "endless", token(2), steps=50, seed=1)
            await gate.reached(1)
            await gate.let(3)
            leaves.cancel()
            await asyncio.wait([leaves])
            await gate.let(1)
            assert gate.rows == [5, 5, 5, 5, 2]
        check_tokens(await stays, 1, 50, rows=2, ends=False)


async def test_a_request_that_runs_once_waits_for_no_more_than_the_step_that_runs(
    loops: Path, single_steps: None
) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            steps = [stream(engine, "endless", token(SLOTS // 2), steps=30, seed=seed) for seed in range(4)]
            await gate.reached(1)
            for number in range(4):
                once = ask(engine, example(2, seed=number))
                await asyncio.sleep(0)
                await gate.let(1)
                assert gate.models[-1] == "tiny"
                await gate.let(1)
                assert gate.models[-1] == "endless"
                check_answer(await once, example(2, seed=number))
        for seed, caller in enumerate(steps):
            check_tokens(await caller, seed, 30, rows=SLOTS // 2, ends=False)


async def test_a_loop_of_higher_priority_gets_every_work_item(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            later = stream(engine, "later", steps=4, seed=1)
            await gate.reached(1)
            first = stream(engine, "endless", steps=3, seed=2)
            await asyncio.sleep(0)
        check_tokens(await later, 1, 4, ends=False)
        check_tokens(await first, 2, 3, ends=False)
    assert gate.models == ["later"] + ["endless"] * 3 + ["later"] * 3


async def test_loops_of_equal_priority_get_the_lane_in_rotation(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = [stream(engine, model, steps=3, seed=1) for model in ("endless", "beside")]
            await gate.reached(1)
        for caller in callers:
            check_tokens(await caller, 1, 3, ends=False)
    assert gate.models == ["endless", "beside"] * 3


async def test_a_request_that_finds_no_slot_waits_for_one_and_is_not_overtaken(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            full = [
                stream(engine, "endless", token(rows), steps=steps, seed=1) for rows, steps in ((SLOTS - 2, 3), (1, 9))
            ]
            await gate.reached(1)
            wide = stream(engine, "endless", token(SLOTS - 1), steps=2, seed=2)
            narrow = [stream(engine, "endless", steps=2, seed=seed) for seed in (3, 4)]
            await asyncio.sleep(0)
            assert waiting_rows("endless") == SLOTS - 1 + 2
        check_tokens(await wide, 2, 2, rows=SLOTS - 1, ends=False)
        for seed, caller in zip((3, 4), narrow, strict=True):
            check_tokens(await caller, seed, 2, ends=False)
        await asyncio.gather(*full)
        # The wide one joins when the first of the full slots has ended; there is room for no narrow one beside it.
        assert gate.rows == [SLOTS - 1] * 3 + [SLOTS] * 2 + [3, 3, 1, 1]
        await settled(engine)


async def test_a_high_level_goes_before_who_came_earlier(tmp_path: Path) -> None:
    levels = {"priority_levels": 2, "default_priority_level": 2}
    write_chars(tmp_path, slots=1, ends=False, serving={"dynamic_batching": levels})
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        ended: list[int] = []

        async def call(number: int, priority: int) -> None:
            check_tokens(await stream(engine, steps=2, priority=priority, seed=number), number, 2, ends=False)
            ended.append(number)

        with gate.closed():
            callers = [asyncio.create_task(call(0, priority=0))]
            await gate.reached(1)
            callers += [asyncio.create_task(call(number, priority)) for number, priority in ((1, 2), (2, 0), (3, 1))]
            await asyncio.sleep(0.01)
        await asyncio.gather(*callers)
    assert ended == [0, 3, 1, 2]


async def test_the_encoder_runs_once_for_a_request_and_joins_what_has_gathered(loops: Path) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = [
                asyncio.create_task(engine.infer("diffusion", None, label(*labels), options=Options(seed=1, steps=5)))
                for labels in ((0, 1), (2,), (1, 1, 1))
            ]
            await gate.reached(1)
            np.testing.assert_array_equal(gate.runs[0].input, [0, 1, 2, 1, 1, 1])
        for caller, labels in zip(callers, ((0, 1), (2,), (1, 1, 1)), strict=True):
            wanted = np.stack([diffusion(1, number, 5, row) for row, number in enumerate(labels)])
            assert_close((await caller).outputs["image"], wanted)
        assert gate.rows == [6] * 6  # the encoder, and five steps
        assert engine.repository.get("diffusion").statistics.execution_count == 6


async def test_a_loop_of_one_slot_serves_one_after_another(tmp_path: Path) -> None:
    write_chars(tmp_path, slots=1)
    async with serving(tmp_path) as engine:
        callers = [stream(engine, seed=seed) for seed in range(5)]
        for seed, caller in enumerate(callers):
            check_tokens(await caller, seed)
        assert list(engine.repository.get("chars").statistics.batches) == [1]


def work_items_of(engine: Any) -> list[str]:
    """The model of each work item that is formed from now on."""
    items: list[str] = []
    for queues in map(engine._queues.of, engine.repository):
        queue = queues.once if queues.steps is None else queues.steps

        def form(queue: Any = queue, real: Any = queue.form) -> Any:
            items.append(queue.model.name)
            return real()

        queue.form = form
    return items
