"""Graphs whose runs hold one row, or have no rows at all."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from service.engine import Answer, Engine
from service.errors import InvalidArgument
from tests.service.engine.asking import serving, settled
from tests.service.engine.gate import Gate
from tests.service.engine.sums import Inputs, sum_answer, sum_inputs, write_sums


def call(engine: Engine, inputs: Inputs) -> asyncio.Task[Answer]:
    return asyncio.create_task(engine.infer("sums", None, inputs))


async def check(caller: asyncio.Task[Answer], inputs: Inputs) -> None:
    outputs = (await caller).outputs
    for name, wanted in sum_answer(inputs).items():
        np.testing.assert_array_equal(outputs[name], wanted)


async def test_each_request_for_a_graph_without_a_batch_is_a_run_of_its_own(tmp_path: Path) -> None:
    write_sums(tmp_path, max_batch=0)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        questions = [sum_inputs(rows, seed) for seed, rows in enumerate((3, 1, 50, 3))]
        callers = [call(engine, question) for question in questions]
        for caller, question in zip(callers, questions, strict=True):
            await check(caller, question)
        assert gate.rows == [3, 1, 50, 3]
        statistics = engine.repository.get("sums").statistics
        assert (statistics.inference_count, statistics.execution_count) == (4, 4)
        await settled(engine)


async def test_a_request_for_a_graph_without_a_batch_may_be_empty_where_its_shape_allows_it(tmp_path: Path) -> None:
    write_sums(tmp_path, max_batch=0)
    async with serving(tmp_path) as engine:
        answer = await call(engine, sum_inputs(0, seed=1))
    assert answer.outputs["total"].shape == (0,)


async def test_requests_for_a_graph_without_a_batch_count_as_a_row_each(tmp_path: Path) -> None:
    write_sums(tmp_path, max_batch=0)
    async with serving(tmp_path, max_queue_rows=2) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = [call(engine, sum_inputs(50, seed)) for seed in range(2)]
            await gate.reached(1)
            callers.append(call(engine, sum_inputs(50, 2)))
            await asyncio.sleep(0)
        for seed, caller in enumerate(callers):
            await check(caller, sum_inputs(50, seed))


async def test_a_graph_of_one_row_takes_one_row_a_run(tmp_path: Path) -> None:
    write_sums(tmp_path, max_batch=1, first=1)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        questions = [sum_inputs(1, seed) for seed in range(4)]
        callers = [call(engine, question) for question in questions]
        for caller, question in zip(callers, questions, strict=True):
            await check(caller, question)
        assert gate.rows == [1] * 4
        with pytest.raises(InvalidArgument, match=r"shape of input 'left' is \[2, 1\]; .* allows \[1, -1\]"):
            await call(engine, sum_inputs(2, 0))
        await settled(engine)


async def test_a_request_of_many_rows_is_split_into_runs_of_one_where_the_graph_takes_no_more(tmp_path: Path) -> None:
    write_sums(tmp_path, max_batch=1)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        question = sum_inputs(3, seed=1)
        await check(call(engine, question), question)
        assert gate.rows == [1] * 3
        await settled(engine)
