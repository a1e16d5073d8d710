import asyncio
import random
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from service.config import Config
from service.engine import Answer, Engine
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidArgument,
    InvalidPackage,
    LectoriumError,
    QueueFull,
    UnknownModel,
)
from tests.packages import CLASSES, MAX_BATCH, assert_close, example, expected, write_package
from tests.service.engine.gate import Gate

WHITE = np.full((1, 4, 4), 255, "u1")


def serving(repository: Path, **settings: Any) -> Engine:
    """An engine to enter: one lane of one thread, unless the settings say otherwise."""
    return Engine(Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1, **settings}))


def ask(
    engine: Engine, images: NDArray[np.uint8], model: str = "tiny", version: str | None = "1", **options: Any
) -> asyncio.Task[Answer]:
    """A caller of its own."""
    return asyncio.create_task(engine.infer(model, version, {"image": images}, **options))


async def ask_in_turn(engine: Engine, *rows: int) -> list[asyncio.Task[Answer]]:
    """Callers of so many rows, who have come to the queue in this order."""
    callers = [ask(engine, example(count, seed)) for seed, count in enumerate(rows)]
    await asyncio.sleep(0)
    return callers


def check_answer(answer: Answer, images: NDArray[np.uint8], version: int = 1) -> None:
    """The answer is that to these images."""
    assert_close(answer.outputs["probabilities"], expected(images, version))
    assert_close(answer.outputs["mean"], images.mean((1, 2), dtype="f4"))


async def check_all(callers: Sequence[asyncio.Task[Answer]], *rows: int) -> None:
    """Those of `ask_in_turn` have the answers to their own rows."""
    for seed, (caller, count) in enumerate(zip(callers, rows, strict=True)):
        check_answer(await caller, example(count, seed))


def waiting_rows(model: str = "tiny") -> float | None:
    """What the metric says of version 1."""
    return REGISTRY.get_sample_value("lectorium_queue_rows", {"model": model, "version": "1"})


def batches(field: str) -> float:
    """The count or sum of the rows of all batches of tiny/1 so far."""
    name = f"lectorium_batch_rows_{field}"
    return REGISTRY.get_sample_value(name, {"model": "tiny", "version": "1"}) or 0.0


async def test_a_request_is_answered_with_its_models_outputs_and_times(repository: Path) -> None:
    async with serving(repository) as engine:
        answer = await engine.infer("tiny", "1", {"image": example(3)})
    check_answer(answer, example(3))
    assert tuple(answer.outputs) == ("probabilities", "mean")
    assert answer.queue_s > 0
    assert answer.compute_s > 0


@pytest.mark.parametrize(("version", "answers"), [(None, 2), ("", 2), ("1", 1), ("2", 2)])
async def test_the_version_asked_for_answers_and_else_the_highest(
    version: str | None, answers: int, repository: Path
) -> None:
    async with serving(repository) as engine:
        answer = await engine.infer("tiny", version, {"image": example(2)})
    check_answer(answer, example(2), version=answers)


@pytest.mark.parametrize("outputs", [["mean"], ["mean", "probabilities"], ["probabilities", "mean"]])
async def test_the_outputs_asked_for_come_in_that_order(outputs: list[str], repository: Path) -> None:
    async with serving(repository) as engine:
        answer = await engine.infer("tiny", "1", {"image": example(2)}, outputs)
    assert list(answer.outputs) == outputs


async def test_requests_that_come_in_the_same_turn_of_the_loop_share_the_first_batch(repository: Path) -> None:
    async with serving(repository) as engine:
        count, total = batches("count"), batches("sum")
        await check_all(await ask_in_turn(engine, 1, 2, 3), 1, 2, 3)
        assert (batches("count") - count, batches("sum") - total) == (1, 6)


async def test_what_gathers_while_the_lane_is_busy_is_the_next_batch(repository: Path) -> None:
    rows = (1, 2, 1, 3)
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = ask(engine, example(1, seed=9))
            await gate.reached(1)
            callers = await ask_in_turn(engine, *rows)
            assert waiting_rows() == sum(rows)
        await check_all(callers, *rows)
        check_answer(await first, example(1, seed=9))
        assert gate.rows == [1, sum(rows)]
        assert waiting_rows() == 0


async def test_callers_of_one_batch_may_want_different_outputs(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        mean, both = await asyncio.gather(
            ask(engine, example(2, 0), outputs=["mean"]), ask(engine, example(2, 1), outputs=["mean", "probabilities"])
        )
        assert gate.rows == [4]
    assert list(mean.outputs) == ["mean"]
    assert_close(mean.outputs["mean"], example(2, 0).mean((1, 2), dtype="f4"))
    check_answer(both, example(2, 1))


async def test_requests_are_run_first_come_first_served(repository: Path) -> None:
    rows = (8, 5, 6, 1, 8)
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = await ask_in_turn(engine, *rows)
            await gate.reached(1)
        await check_all(callers, *rows)
        assert gate.rows == [8, 5, 7, 8]
        came = np.concatenate([example(count, seed) for seed, count in enumerate(rows)])
        np.testing.assert_array_equal(np.concatenate([run.image for run in gate.runs]), came)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("rows", [9, 16, 50])
async def test_a_request_larger_than_a_batch_is_split_and_joined_in_order(
    rows: int, lanes: int, repository: Path
) -> None:
    async with serving(repository, lanes=lanes) as engine:
        gate = Gate(engine)
        callers = await ask_in_turn(engine, rows, 3)
        await check_all(callers, rows, 3)
        assert max(gate.rows) == MAX_BATCH
        assert len(gate.rows) == -(-(rows + 3) // MAX_BATCH)


def run_on(engine: Engine, *, lanes: bool) -> None:
    """Have every batch run on the lanes, or every one on the loop, however quick it is here today."""
    for model in engine.repository:
        model.inline_rows = 0 if lanes else MAX_BATCH


def threads_of(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that batches will have run on."""
    threads: list[str] = []
    run = Session.run

    def noted(session: Session, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        threads.append(threading.current_thread().name)
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", noted)
    return threads


async def test_a_batch_that_is_quick_runs_on_the_loop_and_a_larger_one_on_a_lane(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(repository) as engine:
        threads = threads_of(engine, monkeypatch)
        engine.repository.get("tiny", "1").inline_rows = 2
        await check_all(await ask_in_turn(engine, 1), 1)
        await check_all(await ask_in_turn(engine, 1, 1), 1, 1)
        await check_all(await ask_in_turn(engine, 1, 2), 1, 2)
    assert threads == [threading.current_thread().name] * 2 + ["lane-0"]


async def test_a_quick_batch_waits_for_its_turn_where_all_lanes_are_busy(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            busy = ask(engine, example(8), model="other", version=None)
            await gate.reached(1)
            engine.repository.get("tiny", "1").inline_rows = MAX_BATCH
            quick = await ask_in_turn(engine, 1)
            await asyncio.sleep(0.01)
            assert gate.rows == [8]
        await check_all(quick, 1)
        await busy


async def test_between_quick_batches_the_loop_takes_what_comes(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        run_on(engine, lanes=False)
        flood = await ask_in_turn(engine, *[8] * 20)
        await asyncio.sleep(0)
        other = ask(engine, example(1), model="other", version=None)
        check_answer(await other, example(1), version=3)
        assert [run.model for run in gate.runs].index("other") <= 4
        await check_all(flood, *[8] * 20)


async def test_as_many_batches_run_at_once_as_there_are_lanes(repository: Path) -> None:
    async with serving(repository, lanes=3) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = await ask_in_turn(engine, 8, 8, 8, 8)
            await gate.reached(3)
            assert waiting_rows() == 8
        await check_all(callers, 8, 8, 8, 8)


async def test_a_flood_on_one_model_does_not_starve_another(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            flood = [ask(engine, example(8, seed)) for seed in range(20)]
            await gate.reached(1)
            other = ask(engine, example(1), model="other", version=None)
            await asyncio.sleep(0)
        check_answer(await other, example(1), version=3)
        await asyncio.gather(*flood)
        models = [run.model for run in gate.runs]
        assert models.index("other") <= 2
        assert models.count("tiny") == 20


async def test_a_full_queue_refuses_at_once_and_takes_requests_again_when_it_has_room(repository: Path) -> None:
    async with serving(repository, max_queue_rows=4) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            waiting = await ask_in_turn(engine, 3, 1)
            with pytest.raises(QueueFull, match="'tiny': 4 rows wait, 1 came, 4 may"):
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
            waiting = await ask_in_turn(engine, 1)
            with pytest.raises(QueueFull, match="1 rows wait, 20 came"):
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
            await engine.infer("tiny", "1", {"image": example(1)}, timeout_s=timeout_s)
        assert waiting_rows() == 0


async def test_a_caller_that_runs_out_of_time_disturbs_no_other(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            late = ask(engine, example(1, 8), timeout_s=0.02)
            shares_its_batch = ask(engine, example(1, 9))
            await gate.reached(1)
            waiting = await ask_in_turn(engine, 2, 3)
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
            callers = await ask_in_turn(engine, 2, 3, 3)
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
            [leaves] = await ask_in_turn(engine, 1)
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
            callers = await ask_in_turn(engine, 2, 3, 3)
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
            large, small = await ask_in_turn(engine, 80, 2)
            await gate.reached(1)
            assert waiting_rows() == 74
            large.cancel()
            await asyncio.wait([large])
            assert waiting_rows() == 2
        check_answer(await small, example(2, seed=1))
        assert gate.rows == [8, 2]


async def test_a_failing_batch_fails_its_callers_alone_and_the_lane_goes_on(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = [ask(engine, images, model="fragile") for images in (WHITE, example(2))]
            await gate.reached(1)
            next_batch = ask(engine, example(3), model="fragile")
            await asyncio.sleep(0)
        for caller in callers:
            with pytest.raises(InternalError, match=r"^model 'fragile' failed on this batch$"):
                await caller
        check_answer(await next_batch, example(3))
        assert gate.rows == [3, 3]
        assert engine.ready
    # The caller learns no internals; the log does.
    assert "model fragile/1: a batch of 3 rows failed" in caplog.text
    assert "out of data bounds" in caplog.text


async def test_a_quick_batch_that_fails_fails_its_callers_alone_too(repository: Path) -> None:
    async with serving(repository) as engine:
        run_on(engine, lanes=False)
        callers = [ask(engine, images, model="fragile") for images in (WHITE, example(2))]
        for caller in callers:
            with pytest.raises(InternalError, match="'fragile' failed on this batch"):
                await caller
        check_answer(await engine.infer("fragile", "1", {"image": example(2)}), example(2))


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
        answer = await engine.infer("tiny", "1", {"image": images})
        kept = [weakref.ref(array) for array in (images, *answer.outputs.values())]
        del images, answer
        for _ in range(100):  # until the lane has come round to waiting
            await asyncio.sleep(0.001)
            if not any(array() is not None for array in kept):
                break
        assert [array() for array in kept] == [None, None, None]


WRONG: dict[str, tuple[dict[str, Any], type[LectoriumError], str]] = {
    "unknown_model": ({"name": "huge"}, UnknownModel, "no model 'huge'"),
    "unknown_version": ({"version": "9"}, UnknownModel, "no version '9'"),
    "unknown_input": ({"inputs": {"picture": example(1)}}, InvalidArgument, "no input 'picture'"),
    "missing_input": ({"inputs": {}}, InvalidArgument, "needs input 'image'"),
    "datatype": ({"inputs": {"image": example(1).astype("f4")}}, InvalidArgument, "FP32 came, UINT8 wanted"),
    "shape": ({"inputs": {"image": np.zeros((1, 28, 28), "u1")}}, InvalidArgument, r"shape \[1, 28, 28\] came"),
    "no_batch": ({"inputs": {"image": example(1)[0]}}, InvalidArgument, r"shape \[4, 4\] came"),
    "no_rows": ({"inputs": {"image": example(0)}}, InvalidArgument, "at least one row"),
    "unknown_output": ({"outputs": ["logits"]}, InvalidArgument, "no output 'logits'"),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=list(WRONG))
async def test_a_wrong_request_is_refused_before_it_takes_a_place(
    change: dict[str, Any], error: type[LectoriumError], message: str, repository: Path
) -> None:
    request = {"name": "tiny", "version": "1", "inputs": {"image": example(1)}, **change}
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            with pytest.raises(error, match=message):
                await engine.infer(**request)
            assert waiting_rows() == 0
        assert gate.runs == []


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
        engine._lanes[0].stop()
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


@pytest.mark.parametrize(
    ("settings", "cores", "lanes"),
    [
        ({}, 1, 1),
        ({}, 2, 1),
        ({}, 8, 2),
        ({}, 12, 3),
        ({"intra_op": 1}, 8, 8),
        ({"intra_op": 16}, 8, 1),
        ({"lanes": 3}, 1, 3),
        ({"lanes": 1, "intra_op": 1}, 8, 1),
    ],
)
async def test_lanes_share_the_usable_cores_unless_configured(
    settings: dict[str, int], cores: int, lanes: int, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.engine.usable_cores", lambda: cores)
    before = lane_threads()
    async with Engine(Config.model_validate({"repository": repository, **settings})):
        assert len(lane_threads() - before) == lanes


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
                check_answer(await engine.infer("tiny", "1", {"image": images}, timeout_s=timeout_s), images)
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
