"""Loops whose callers leave or run late, or whose engine stops: each touches its own caller alone."""

import asyncio
import gc
import weakref
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from service.engine import Emission, Engine, Options
from service.errors import CallerBehind, DeadlineExceeded, Draining
from tests.service.engine.asking import check_tokens, label, serving, settled, stream, token, waiting_rows
from tests.service.engine.gate import Gate
from tests.step_packages import SLOTS


def failures(engine: Engine, model: str = "endless") -> dict[str, int]:
    return dict(engine.repository.get(model).statistics.failures)


async def listen_to(engine: Engine, steps: int, read: list[Emission]) -> None:
    """A caller that leaves its loop by ``break``."""
    async with aclosing(engine.steps("endless", None, token(SLOTS), options=Options(steps=1000))) as emissions:
        async for emission in emissions:
            read.append(emission)
            if emission.step == steps:
                break


async def test_a_caller_that_breaks_off_frees_its_slots_for_who_waits(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        read: list[Emission] = []
        leaves = asyncio.create_task(listen_to(engine, 3, read))
        await asyncio.sleep(0)
        waits = stream(engine, "endless", token(SLOTS), steps=4, seed=1)
        check_tokens(await waits, 1, 4, rows=SLOTS, ends=False)
        await leaves
        assert len(read) == 3
        await settled(engine)
        assert failures(engine) == {"CANCELED": 1}


async def test_a_caller_that_forgets_its_loop_half_way_frees_its_slots_too(loops: Path) -> None:
    async with serving(loops) as engine:
        async for emission in engine.steps("endless", None, token(SLOTS), options=Options(steps=1000)):
            assert emission.step == 1
            break
        gc.collect()
        await settled(engine)
        assert failures(engine) == {"CANCELED": 1}


async def test_a_caller_that_is_cancelled_between_steps_is_not_in_the_next_one(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            leaves = stream(engine, "endless", token(SLOTS - 1), steps=500)
            stays = stream(engine, "endless", steps=9, seed=1)
            await gate.reached(1)
            waits = stream(engine, "endless", token(2), steps=3, seed=2)
            await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.wait([leaves])
            await gate.let(1)
            assert gate.rows == [SLOTS, 3]  # one that stays, two that waited for room
        check_tokens(await stays, 1, 9, ends=False)
        check_tokens(await waits, 2, 3, rows=2, ends=False)
        await settled(engine)
        assert failures(engine) == {"CANCELED": 1}


async def test_a_caller_that_leaves_the_line_gives_its_rows_back(loops: Path) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            full = stream(engine, "endless", token(SLOTS), steps=3, seed=1)
            await gate.reached(1)
            leaves, stays = (stream(engine, "endless", token(3), steps=2, seed=2) for _ in range(2))
            await asyncio.sleep(0)
            assert waiting_rows("endless") == 6
            leaves.cancel()
            await asyncio.wait([leaves])
            assert waiting_rows("endless") == 3
        check_tokens(await full, 1, 3, rows=SLOTS, ends=False)
        check_tokens(await stays, 2, 2, rows=3, ends=False)
        await settled(engine)


async def test_a_deadline_ends_a_request_between_two_steps_and_disturbs_no_other(
    loops: Path, single_steps: None
) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            late = stream(engine, "endless", token(4), steps=1000, timeout_s=0.02)
            other = stream(engine, "endless", token(3), steps=6, seed=1)
            await gate.reached(1)
            with pytest.raises(DeadlineExceeded, match=r"model 'endless': no answer in 0\.02 s"):
                await late
            await gate.let(1)
            assert gate.rows == [7, 3]
        check_tokens(await other, 1, 6, rows=3, ends=False)
        await settled(engine)
        assert failures(engine) == {"OTHER": 1}


async def test_a_request_not_taken_within_its_queue_timeout_is_refused_and_one_that_steps_is_not(
    loops: Path, single_steps: None
) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            steps = stream(engine, "endless", token(SLOTS), steps=3, seed=1, queue_timeout_s=0.02)
            await gate.reached(1)
            waits = stream(engine, "endless", steps=3, queue_timeout_s=0.02)
            with pytest.raises(DeadlineExceeded, match=r"'endless': not taken from the queue in 0\.02 s"):
                await waits
        check_tokens(await steps, 1, 3, rows=SLOTS, ends=False)
        await settled(engine)


@pytest.mark.parametrize("lanes", [1, 2])
async def test_when_the_engine_stops_everyone_inside_is_told_so(lanes: int, loops: Path) -> None:
    async with serving(loops, lanes=lanes) as engine:
        gate = Gate(engine)
        with gate.closed():
            steps = stream(engine, "endless", token(SLOTS), steps=1000)
            await gate.reached(1)
            waits = stream(engine, "endless", steps=1000)
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.02, gate.open)
            await engine.__aexit__(None, None, None)
        for caller in (steps, waits, stream(engine, "endless")):
            with pytest.raises(Draining, match="the engine has stopped"):
                await asyncio.wait_for(caller, 5)


async def test_a_request_whose_encoder_runs_when_the_engine_stops_is_told_so(loops: Path) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            encodes = asyncio.create_task(engine.infer("diffusion", None, label(1)))
            await gate.reached(1)
            asyncio.get_running_loop().call_later(0.02, gate.open)
            await engine.__aexit__(None, None, None)
        with pytest.raises(Draining):
            await asyncio.wait_for(encodes, 5)


async def test_a_caller_far_behind_is_let_go(loops: Path, single_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.step_request.MAX_UNREAD_BYTES", 100 << 10)
    async with serving(loops) as engine:
        other = stream(engine, "endless", steps=200, seed=1)
        async with aclosing(engine.steps("endless", None, {}, options=Options(steps=200))) as emissions:
            await anext(emissions)
            check_tokens(await other, 1, 200, ends=False)
            with pytest.raises(CallerBehind, match=r"left .* emissions .* unread"):
                [_ async for _ in emissions]
        await settled(engine)


async def test_a_request_counts_once_however_it_ends(loops: Path) -> None:
    async with serving(loops) as engine:
        await asyncio.gather(*(stream(engine, seed=seed) for seed in range(3)))
        for seed in range(2):
            await engine.infer("diffusion", None, label(1), options=Options(seed=seed, steps=3))
        for model, count in (("chars", 3), ("diffusion", 2)):
            statistics = engine.repository.get(model).statistics
            assert (statistics.success.count, statistics.queue.count, statistics.fail.count) == (count, count, 0)
            assert statistics.failures == {}


async def test_nothing_of_a_request_that_has_ended_is_kept(loops: Path) -> None:
    async with serving(loops) as engine:
        begins = np.array([1, 1])
        emissions = await stream(engine, "endless", {"token": begins}, steps=3)
        leaver = stream(engine, "endless", token(2), steps=1000)
        await asyncio.sleep(0.01)
        leaver.cancel()
        await asyncio.wait([leaver])
        await settled(engine)
        kept = [weakref.ref(array) for array in (begins, *(emissions[-1].outputs.values()))]
        del begins, emissions, leaver
        for _ in range(100):  # until the lane has come round to waiting
            await asyncio.sleep(0.001)
            gc.collect()
            if not any(array() is not None for array in kept):
                break
        assert [array() for array in kept] == [None] * len(kept)
