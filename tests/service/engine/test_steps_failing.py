"""Steps and encoders that fail: for the request that makes them, and for nobody else."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine, Options
from service.engine.slots import Slots
from service.errors import InternalError
from tests.packages import assert_close
from tests.service.engine.asking import check_tokens, label, serving, settled, stream, token
from tests.service.engine.gate import Gate
from tests.step_packages import POISON, chars, diffusion, write_chars


def failures(engine: Engine, model: str = "endless") -> dict[str, int]:
    return dict(engine.repository.get(model).statistics.failures)


async def test_a_request_that_makes_the_step_fail_fails_alone(loops: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(loops) as engine:
        good = [stream(engine, inputs=token(2), seed=seed) for seed in range(3)]
        bad = stream(engine, inputs={"token": np.array([1, POISON])}, seed=9)
        with pytest.raises(InternalError, match=r"^model 'chars' failed on this request$"):
            await bad
        for seed, caller in enumerate(good):
            check_tokens(await caller, seed, rows=2)
        await settled(engine)
        assert failures(engine, "chars") == {"BACKEND": 1}
        assert engine.repository.get("chars").statistics.success.count == 3
    assert "model chars/1: a step failed for 1 requests" in caplog.text
    assert "out of data bounds" in caplog.text


@pytest.mark.parametrize("run_on_s", [-1.0, 10.0])
async def test_a_request_that_fails_half_way_has_given_what_came_before(
    run_on_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.steps.RUN_ON_S", run_on_s)
    fatal = 5
    write_chars(tmp_path, fatal=fatal)
    dies = next(seed for seed in range(1000) if fatal in chars(seed)[3:8] and fatal not in chars(seed)[:3])
    lives = [seed for seed in range(1000) if fatal not in chars(seed)][:6]
    came: list[int] = []

    async def listen() -> None:
        async with aclosing(engine.steps("chars", None, {}, options=Options(seed=dies))) as emissions:
            async for emission in emissions:
                came.append(int(emission.outputs["next_token"][0]))

    async with serving(tmp_path) as engine:
        good = [stream(engine, seed=seed) for seed in lives]
        with pytest.raises(InternalError):
            await listen()
        assert came == chars(dies)[: chars(dies).index(fatal) + 1]
        for seed, caller in zip(lives, good, strict=True):
            check_tokens(await caller, seed)
        await settled(engine)


async def test_a_request_whose_encoder_fails_fails_alone(loops: Path) -> None:
    async with serving(loops) as engine:
        callers = [
            asyncio.create_task(engine.infer("diffusion", None, label(number), options=Options(seed=1, steps=4)))
            for number in (0, 99, 2)
        ]
        with pytest.raises(InternalError, match=r"^model 'diffusion' failed on this request$"):
            await callers[1]
        for number in (0, 2):
            wanted = diffusion(1, number, 4)[None]
            assert_close((await callers[number]).outputs["image"], wanted)
        await settled(engine)
        assert failures(engine, "diffusion") == {"BACKEND": 1}


def spoil_steps(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Have a step of so many rows fail, though none of its rows fails alone."""
    run = Slots._run

    def failing(slots: Slots, first: int, end: int) -> None:
        if fails(end - first):
            raise MemoryError("too many rows for the library")
        run(slots, first, end)

    monkeypatch.setattr(Slots, "_run", failing)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("run_on_s", [-1.0, 10.0])
async def test_a_step_that_fails_for_no_single_row_ends_those_in_it_and_nobody_else(
    run_on_s: float, lanes: int, loops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.steps.RUN_ON_S", run_on_s)
    spoil_steps(monkeypatch, lambda rows: rows > 5)
    async with serving(loops, lanes=lanes) as engine:
        together = [stream(engine, "endless", token(3), steps=4, seed=seed) for seed in range(2)]
        for caller in together:
            with pytest.raises(InternalError, match=r"^model 'endless' failed on this request$"):
                await caller
        check_tokens(await stream(engine, "endless", token(3), steps=4, seed=7), 7, 4, rows=3, ends=False)
        await settled(engine)
        assert failures(engine) == {"BACKEND": 2}


async def test_who_ended_in_an_earlier_step_of_a_turn_that_fails_is_answered(
    loops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.steps.RUN_ON_S", 10.0)
    async with serving(loops) as engine:
        ends, fails = (stream(engine, "endless", token(2), steps=steps, seed=1) for steps in (2, 9))
        taken = Slots.step

        def third_fails(slots: Slots, *, again: bool = False) -> Any:
            if len(slots) == 2 and slots._steps[0] == 4:
                raise MemoryError("the library has no more")
            return taken(slots, again=again)

        monkeypatch.setattr(Slots, "step", third_fails)
        monkeypatch.setattr(Slots, "failing", lambda slots: [])
        check_tokens(await asyncio.wait_for(ends, 5), 1, 2, rows=2, ends=False)
        with pytest.raises(InternalError):
            await asyncio.wait_for(fails, 5)
        await settled(engine)


async def test_after_a_failed_turn_the_next_one_is_without_those_who_failed(
    loops: Path, single_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        step = Slots.step

        def spoiled(slots: Slots, *, again: bool = False) -> Any:
            given = step(slots, again=again)
            if any(request.steps == 9 for request in slots.requests):
                raise MemoryError("the library has no more")
            return given

        monkeypatch.setattr(Slots, "step", spoiled)
        monkeypatch.setattr(Slots, "failing", lambda slots: [])
        with gate.closed():
            fails = stream(engine, "endless", token(2), steps=9)
            await gate.reached(1)
            waits = stream(engine, "endless", token(2), steps=3, seed=2)
            await asyncio.sleep(0)
        with pytest.raises(InternalError):
            await fails
        check_tokens(await waits, 2, 3, rows=2, ends=False)
        await settled(engine)
