"""A run of a graph that takes rows of any size has no more elements than a full one of rows of the card's size."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine import Answer, Engine
from service.errors import InvalidArgument
from tests.segment_packages import HEIGHT, MAX_BATCH, WIDTH, segmented, write_segment_package
from tests.service.engine.asking import serving, settled
from tests.service.engine.gate import Gate
from tests.text_packages import MAX_BATCH as TEXT_BATCH
from tests.text_packages import MAX_BYTES, write_text_package

Images = NDArray[np.uint8]


def images(rows: int, times: int, seed: int = 0) -> Images:
    """Images of ``times`` as many pixels as the model's."""
    return np.random.default_rng(seed).integers(0, 256, (rows, HEIGHT, WIDTH * times, 3), dtype="u1")


def call(engine: Engine, pixels: Images) -> asyncio.Task[Answer]:
    return asyncio.create_task(engine.infer("colours", None, {"image": pixels}))


async def check(caller: asyncio.Task[Answer], pixels: Images) -> None:
    np.testing.assert_array_equal((await caller).outputs["mask"], segmented(pixels).mask)


@pytest.mark.parametrize(
    ("rows", "times", "runs"),
    [(MAX_BATCH, 1, [8]), (5, 2, [4, 1]), (3, 3, [2, 1]), (2, 4, [2]), (3, 5, [1, 1, 1]), (2, MAX_BATCH, [1, 1])],
)
async def test_a_request_of_larger_rows_is_split_into_runs_of_fewer(
    rows: int, times: int, runs: list[int], tmp_path: Path
) -> None:
    write_segment_package(tmp_path)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        pixels = images(rows, times)
        await check(call(engine, pixels), pixels)
        assert gate.rows == runs
        await settled(engine)


async def test_requests_of_larger_rows_share_runs_of_fewer(tmp_path: Path) -> None:
    write_segment_package(tmp_path)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = call(engine, images(1, 1))
            await gate.reached(1)
            large = [images(1, 3, seed) for seed in range(4)]
            callers = [call(engine, pixels) for pixels in large]
            small = [images(1, 1, seed) for seed in range(8)]
            callers += [call(engine, pixels) for pixels in small]
            await asyncio.sleep(0)
        await first
        for caller, pixels in zip(callers, [*large, *small], strict=True):
            await check(caller, pixels)
        assert gate.rows[0] == 1
        assert [rows for run, rows in zip(gate.runs, gate.rows, strict=True) if run.input.shape[2] > WIDTH] == [2, 2]
        assert sum(gate.rows) == 13
        await settled(engine)


@pytest.mark.parametrize("shape", [(1, HEIGHT, WIDTH * MAX_BATCH + 1, 3), (1, 0, WIDTH, 3), (2, HEIGHT, 0, 3)])
async def test_rows_that_are_empty_or_larger_than_a_full_run_are_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    write_segment_package(tmp_path)
    most = HEIGHT * WIDTH * 3 * MAX_BATCH
    async with serving(tmp_path) as engine:
        with pytest.raises(InvalidArgument, match=rf"elements a row; model 'colours' allows 1 to {most}$"):
            await call(engine, np.zeros(shape, "u1"))
        await settled(engine)


async def test_so_it_is_with_texts(tmp_path: Path) -> None:
    write_text_package(tmp_path)
    most = MAX_BYTES * TEXT_BATCH
    async with serving(tmp_path) as engine:
        answer = await engine.infer("letters", None, {"text": np.full((1, most), 65, "u1")})
        assert answer.outputs["probabilities"].shape == (1, 4)
        with pytest.raises(InvalidArgument, match=rf"{most + 1} elements a row; model 'letters' allows 1 to {most}$"):
            await engine.infer("letters", None, {"text": np.full((1, most + 1), 65, "u1")})
