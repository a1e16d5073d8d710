"""What an engine answers, and how requests share batches and lanes."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.engine import Engine
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from tests.packages import MAX_BATCH, assert_close, example
from tests.service.engine.asking import (
    ask,
    ask_in_order,
    batches,
    check_all,
    check_answer,
    run_on,
    serving,
    waiting_rows,
)
from tests.service.engine.gate import Gate


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
        await check_all(await ask_in_order(engine, 1, 2, 3), 1, 2, 3)
        assert (batches("count") - count, batches("sum") - total) == (1, 6)


async def test_what_gathers_while_the_lane_is_busy_is_the_next_batch(repository: Path) -> None:
    rows = (1, 2, 1, 3)
    async with serving(repository) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = ask(engine, example(1, seed=9))
            await gate.reached(1)
            callers = await ask_in_order(engine, *rows)
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
            callers = await ask_in_order(engine, *rows)
            await gate.reached(1)
        await check_all(callers, *rows)
        assert gate.rows == [8, 5, 7, 8]
        came = np.concatenate([example(count, seed) for seed, count in enumerate(rows)])
        np.testing.assert_array_equal(np.concatenate([run.input for run in gate.runs]), came)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("rows", [9, 16, 50])
async def test_a_request_larger_than_a_batch_is_split_and_joined_in_order(
    rows: int, lanes: int, repository: Path
) -> None:
    async with serving(repository, lanes=lanes) as engine:
        gate = Gate(engine)
        callers = await ask_in_order(engine, rows, 3)
        await check_all(callers, rows, 3)
        assert max(gate.rows) == MAX_BATCH
        assert len(gate.rows) == -(-(rows + 3) // MAX_BATCH)


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
        engine.repository.get("tiny", "1").session.inline_rows = 2
        await check_all(await ask_in_order(engine, 1), 1)
        await check_all(await ask_in_order(engine, 1, 1), 1, 1)
        await check_all(await ask_in_order(engine, 1, 2), 1, 2)
    assert threads == [threading.current_thread().name] * 2 + ["lane-0"]


async def test_a_quick_batch_runs_beside_what_the_lanes_are_at(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine, "other")
        engine.repository.get("tiny", "1").session.inline_rows = MAX_BATCH
        with gate.closed():
            busy = ask(engine, example(8), model="other", version=None)
            await gate.reached(1)
            await check_all(await ask_in_order(engine, 1, 8, 8, 2), 1, 8, 8, 2)
            assert not busy.done()
        await busy


async def test_between_quick_batches_the_loop_takes_what_comes(repository: Path) -> None:
    async with serving(repository) as engine:
        gate = Gate(engine)
        run_on(engine, lanes=False)
        flood = await ask_in_order(engine, *[8] * 20)
        await asyncio.sleep(0)
        other = ask(engine, example(1), model="other", version=None)
        check_answer(await other, example(1), version=3)
        assert gate.models.index("other") <= 4
        await check_all(flood, *[8] * 20)


async def test_as_many_batches_run_at_once_as_there_are_lanes(repository: Path) -> None:
    async with serving(repository, lanes=3) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = await ask_in_order(engine, 8, 8, 8, 8, 8)
            await gate.reached(3)
            assert waiting_rows() == 16
        await check_all(callers, 8, 8, 8, 8, 8)


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
        models = gate.models
        assert models.index("other") <= 2
        assert models.count("tiny") == 20
