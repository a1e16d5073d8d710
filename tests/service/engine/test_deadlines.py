"""Nothing is begun for a request whose deadline has passed, even where the loop was too busy to tell its caller."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.deadline import Deadline
from service.engine import Options
from service.errors import DeadlineExceeded
from tests.packages import MAX_BATCH, example
from tests.service.engine.asking import ask, check_answer, label, run_on, serving, settled, stream, token
from tests.service.engine.gate import Gate
from tests.step_packages import write_diffusion, write_words
from tests.step_packages.words import BLACK

SOON_S = 0.2


def keep_the_loop_busy(gate: Gate | None = None) -> None:
    """Past the deadline of those who have `SOON_S`, and have the loop look for the next work right after that.

    With a ``gate`` the lane ends its run first; the loop hears of it when it is no longer busy, before its timers run.
    """
    asyncio.get_running_loop().call_soon(time.sleep, 2 * SOON_S)
    if gate is not None:
        gate.open()
        time.sleep(SOON_S / 4)


async def test_a_request_that_waits_for_a_lane_does_not_run_once_its_deadline_has_passed(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            late = ask(engine, example(2), timeout_s=SOON_S)
            stays = ask(engine, example(3))
            await asyncio.sleep(0)
            keep_the_loop_busy(gate)
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded, match=r"model 'tiny': no answer in 0\.2 s"):
            await late
        check_answer(await stays, example(3))
        await running
        await settled(engine)
        assert gate.rows == [1, 3]


async def test_a_batch_formed_ahead_runs_without_those_whose_deadline_has_passed(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = ask(engine, example(MAX_BATCH))
            late = ask(engine, example(2), timeout_s=SOON_S)
            stays = ask(engine, example(MAX_BATCH - 2))
            await gate.reached(1)
            keep_the_loop_busy(gate)
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await late
        check_answer(await stays, example(MAX_BATCH - 2))
        await first
        assert gate.rows == [MAX_BATCH, MAX_BATCH - 2]


async def test_a_quick_request_does_not_run_on_the_loop_once_its_deadline_has_passed(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        await ask(engine, example(1))  # so that the next one waits for no others
        asyncio.get_running_loop().call_soon(keep_the_loop_busy)
        late = ask(engine, example(1), timeout_s=SOON_S)
        with pytest.raises(DeadlineExceeded):
            await late
        await settled(engine)
        assert engine.repository.get("tiny", "1").statistics.execution_count == 1


@pytest.mark.parametrize(("model", "inputs"), [("words", {"image": BLACK}), ("diffusion", label(1))])
async def test_there_is_one_deadline_for_an_encoder_and_its_steps(
    tmp_path: Path, model: str, inputs: dict[str, NDArray[Any]]
) -> None:
    write_words(tmp_path)
    write_diffusion(tmp_path)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            late = stream(engine, model, inputs, steps=8, timeout_s=SOON_S)
            await gate.reached(1)
            keep_the_loop_busy(gate)
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded, match=rf"model '{model}': no answer in 0\.2 s"):
            await late
        await settled(engine)
        [run] = gate.runs  # of the encoder: no steps
        np.testing.assert_array_equal(run.input, next(iter(inputs.values())))
        assert engine.repository.get(model).statistics.failures == {"OTHER": 1}


async def test_no_step_is_begun_once_the_deadline_has_passed(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            late = stream(engine, "endless", token(2), steps=1000, timeout_s=SOON_S)
            await gate.reached(1)
            keep_the_loop_busy(gate)
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await late
        await settled(engine)
        assert gate.rows == [2]


Asked = Callable[[Options], Awaitable[object]]


@pytest.mark.parametrize("options", [Options(timeout_s=0), Options(deadline=Deadline(0.0, 5.0))])
async def test_a_request_that_comes_after_its_deadline_is_refused_and_counted(options: Options, loops: Path) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        asked: dict[str, Asked] = {
            "tiny": lambda options: engine.infer("tiny", None, {"image": example(1)}, options=options),
            "diffusion": lambda options: engine.infer("diffusion", None, {"label": np.array([1])}, options=options),
        }
        for model, ask_for in asked.items():
            with pytest.raises(
                DeadlineExceeded, match=f"model '{model}': no answer in {options.timeout_s or 0:g} s|5 s"
            ):
                await ask_for(options)
            assert engine.repository.get(model).statistics.failures == {"OTHER": 1}
        await settled(engine)
        assert gate.runs == []
