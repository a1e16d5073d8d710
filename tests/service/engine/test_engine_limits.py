"""Full queues, deadlines, callers that leave and batches that fail: each touches its own caller alone."""

import asyncio
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Options
from service.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    LectoriumError,
    QueueFull,
    UnknownModel,
)
from tests.packages import example
from tests.service.engine.asking import WHITE, ask, ask_in_order, check_all, check_answer, run_on, serving, waiting_rows
from tests.service.engine.gate import Gate


async def test_a_full_queue_refuses_at_once_and_takes_requests_again_when_it_has_room(repository: Path) -> None:
    async with serving(repository, max_queue_rows=4) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            waiting = await ask_in_order(engine, 3, 1)
            with pytest.raises(QueueFull, match="'tiny': the queue holds 4 of at most 4 rows"):
                await engine.infer("tiny", "1", {"image": example(1)})
            # Each model has a queue of its own.
            elsewhere = ask(engine, example(4), model="other", version=None)
        await check_all(waiting, 3, 1)
        await asyncio.gather(running, elsewhere)
        check_answer(await engine.infer("tiny", "1", {"image": example(4)}), example(4))


async def test_a_request_larger_than_the_queue_is_taken_only_where_nobody_waits(repository: Path) -> None:
    async with serving(repository, max_queue_rows=4) as engine:
        gate = Gate(engine)
        check_answer(await engine.infer("tiny", "1", {"image": example(20)}), example(20))
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(4)
            waiting = await ask_in_order(engine, 1)
            with pytest.raises(QueueFull, match="holds 1 of at most 4 rows; this request has 20 more"):
                await engine.infer("tiny", "1", {"image": example(20)})
        await asyncio.gather(running, *waiting)


@pytest.mark.parametrize(("asked_s", "allowed_s"), [(0.02, 30.0), (None, 0.02), (30.0, 0.02)])
async def test_a_request_has_the_time_it_asked_for_and_at_most_the_configured(
    asked_s: float | None, allowed_s: float, repository: Path
) -> None:
    async with serving(repository, timeout_s=allowed_s) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1), timeout_s=asked_s)
            await gate.reached(1)
            waiting = ask(engine, example(1), timeout_s=asked_s)
            for late in (running, waiting):
                with pytest.raises(DeadlineExceeded, match=r"model 'tiny': no answer in 0\.02 s"):
                    await late
            assert waiting_rows() == 0
        if allowed_s == 30:
            check_answer(await engine.infer("tiny", "1", {"image": example(2)}), example(2))
            assert gate.rows == [1, 2]


@pytest.mark.parametrize("timeout_s", [0, -1])
async def test_a_request_whose_time_is_over_when_it_comes_is_late_at_once(timeout_s: float, repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed(), pytest.raises(DeadlineExceeded):
            await engine.infer("tiny", "1", {"image": example(1)}, options=Options(timeout_s=timeout_s))
        assert waiting_rows() == 0


async def test_a_caller_that_runs_out_of_time_disturbs_no_other(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            late = ask(engine, example(1, 8), timeout_s=0.02)
            shares_its_batch = ask(engine, example(1, 9))
            await gate.reached(1)
            waiting = await ask_in_order(engine, 2, 3)
            with pytest.raises(DeadlineExceeded):
                await late
        check_answer(await shares_its_batch, example(1, 9))
        await check_all(waiting, 2, 3)
        assert gate.rows == [2, 5]


async def test_a_caller_that_leaves_the_queue_gives_its_rows_back_and_disturbs_no_other(repository: Path) -> None:
    async with serving(repository, max_queue_rows=8) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1, 9))
            await gate.reached(1)
            callers = await ask_in_order(engine, 2, 3, 3)
            callers[1].cancel()
            await asyncio.wait([callers[1]])
            assert waiting_rows() == 5
            takes_its_place = ask(engine, example(3, 7))
            await asyncio.sleep(0)
        stayed = (callers[0], 0, 2), (callers[2], 2, 3), (takes_its_place, 7, 3), (running, 9, 1)
        for caller, seed, rows in stayed:
            check_answer(await caller, example(rows, seed))
        assert callers[1].cancelled()
        assert gate.rows == [1, 8]


async def test_a_queue_that_all_have_left_is_passed_over(repository: Path) -> None:
    async with serving(repository, timeout_s=5) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1), model="other", version=None)
            await gate.reached(1)
            [leaves] = await ask_in_order(engine, 1)
            waits = ask(engine, example(1), version="2")
            await asyncio.sleep(0)
            leaves.cancel()
        check_answer(await waits, example(1), version=2)
        await running
        assert gate.rows == [1, 1]


async def test_a_caller_that_leaves_a_running_batch_disturbs_no_other(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = await ask_in_order(engine, 2, 3, 3)
            await gate.reached(1)
            callers[0].cancel()
            await asyncio.wait([callers[0]])
        for seed in (1, 2):
            check_answer(await callers[seed], example(3, seed))
        assert gate.rows == [8]


async def test_a_caller_that_leaves_half_way_through_a_large_request_frees_the_rest(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            large, small = await ask_in_order(engine, 80, 2)
            await gate.reached(1)
            assert waiting_rows() == 74
            large.cancel()
            await asyncio.wait([large])
            assert waiting_rows() == 2  # those joined for the next batch have left, too
        check_answer(await small, example(2, seed=1))
        assert gate.rows == [8, 2]


@pytest.mark.parametrize("lanes", [0, 1, 3])
async def test_a_request_that_makes_its_batch_fail_fails_alone(
    lanes: int, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(repository, lanes=max(lanes, 1)) as engine:
        run_on(engine, lanes=lanes > 0)
        images = [example(2, 0), WHITE, example(3, 2)]
        callers = [ask(engine, image, model="fragile") for image in images]
        check_answer(await callers[0], images[0])
        check_answer(await callers[2], images[2])
        with pytest.raises(InternalError, match=r"^model 'fragile' failed on this request$"):
            await callers[1]
        check_answer(await ask(engine, example(8), model="fragile"), example(8))
        assert engine.ready
        assert waiting_rows("fragile") == 0
    # The caller learns no internals; the log does.
    assert "model fragile/1: a batch of 1 rows failed" in caplog.text
    assert "out of data bounds" in caplog.text


async def test_one_failing_part_fails_a_large_request_and_nobody_behind_it(repository: Path) -> None:
    spoiled = np.concatenate([example(8), WHITE, example(20)])
    async with serving(repository, lanes=3) as engine:
        large, small = ask(engine, spoiled, model="fragile"), ask(engine, example(8), model="fragile")
        with pytest.raises(InternalError):
            await large
        check_answer(await small, example(8))
        assert waiting_rows("fragile") == 0


@pytest.mark.parametrize("lanes", [False, True])
async def test_nothing_of_an_answered_request_is_kept(lanes: bool, repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=lanes)
        images = example(2)
        options = Options(timeout_s=20, queue_timeout_s=20)
        answer = await engine.infer("tiny", "1", {"image": images}, options=options)
        kept = [weakref.ref(array) for array in (images, *answer.outputs.values())]
        del images, answer
        for _ in range(100):  # until the lane has come round to waiting
            await asyncio.sleep(0.001)
            if not any(array() is not None for array in kept):
                break
        assert [array() for array in kept] == [None, None, None]


WRONG: dict[str, tuple[dict[str, Any], type[LectoriumError], str]] = {
    "unknown_model": ({"model": "huge"}, UnknownModel, "no model 'huge'"),
    "unknown_version": ({"version": "9"}, UnknownModel, "no version '9'"),
    "unknown_input": ({"inputs": {"picture": example(1)}}, InvalidArgument, "no input 'picture'"),
    "missing_input": ({"inputs": {}}, InvalidArgument, "input 'image' of model 'tiny' is missing"),
    "datatype": ({"inputs": {"image": example(1).astype("f4")}}, InvalidArgument, "is FP32; model 'tiny' allows UINT8"),
    "shape": ({"inputs": {"image": np.zeros((1, 28, 28), "u1")}}, InvalidArgument, r"is \[1, 28, 28\]; model 'tiny'"),
    "no_batch": ({"inputs": {"image": example(1)[0]}}, InvalidArgument, r"is \[4, 4\]; model 'tiny'"),
    "no_rows": ({"inputs": {"image": example(0)}}, InvalidArgument, "at least one row"),
    "unknown_output": ({"outputs": ["logits"]}, InvalidArgument, "no output 'logits'"),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=list(WRONG))
async def test_a_wrong_request_is_refused_before_it_takes_a_place(
    change: dict[str, Any], error: type[LectoriumError], message: str, repository: Path
) -> None:
    request = {"model": "tiny", "version": "1", "inputs": {"image": example(1)}, **change}
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            with pytest.raises(error, match=message):
                await engine.infer(**request)
            assert waiting_rows() == 0
        assert gate.runs == []
