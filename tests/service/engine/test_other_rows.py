"""Graphs that return other rows than they get: no request gets a row of another, whatever a card or a graph says."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine
from service.engine import engine as engine_module
from service.engine.device import Device
from service.errors import InternalError
from tests.bare_packages import compressor, some_rows, unique_rows, write_bare
from tests.explaining_packages import write_explaining_package
from tests.lying_packages import MAX_BATCH, drop_rows, numbered, over_half, write_carded
from tests.packages import example, write_package
from tests.service.engine.asking import WHITE, ask, check_answer, serving, settled, stream
from tests.service.engine.captioning import describe, up_to_end
from tests.service.engine.captioning import rows as token_rows
from tests.service.engine.controlling import refusal
from tests.service.engine.gate import Gate
from tests.step_packages import write_words
from tests.step_packages.words import BLACK, sight

HUGE = 2e6


async def infer(engine: Engine, x: Any, name: str) -> Any:
    return (await engine.infer(name, None, {"x": x})).outputs["y"]


def spoiled(rows: int, seed: int) -> Any:
    """Rows of which `some_rows` leaves the first away."""
    x = numbered(rows, seed)
    x[-1, 2] = HUGE
    return x


def without_first(x: Any) -> Any:
    return x[1:] if x.max() > HUGE / 2 else x


async def test_a_batch_whose_rows_do_not_add_up_runs_again_request_by_request_and_so_do_all_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_bare(tmp_path, some_rows(HUGE / 2), "some")
    async with serving(tmp_path) as engine:
        model = engine.repository.get("some")
        assert model.max_batch == 32
        gate = Gate(engine)
        asked = [numbered(2, 1), spoiled(3, 2), numbered(1, 3), numbered(2, 4)]
        for runs in ([8, 2, 3, 1, 2], [2, 3, 1, 2]):
            before = len(gate.runs)
            answers = await asyncio.gather(*(infer(engine, x, "some") for x in asked))
            for answer, x in zip(answers, asked, strict=True):
                np.testing.assert_array_equal(answer, without_first(x))
            assert gate.rows[before:] == runs
            assert model.max_batch == 0
        await settled(engine)
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == (
        "model some/1: from now on each request has runs of its own: its output 'y' has 7 rows after a run of 8"
    )


async def test_a_request_alone_is_answered_with_all_its_rows_and_shows_that_none_may_share(tmp_path: Path) -> None:
    write_bare(tmp_path, some_rows(HUGE / 2), "some")
    async with serving(tmp_path) as engine:
        x = spoiled(3, 1)
        np.testing.assert_array_equal(await infer(engine, x, "some"), x[1:])
        assert engine.repository.get("some").max_batch == 0


async def test_on_a_device_too_each_gets_its_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "choose", lambda _: Device("cpu", own_memory=True))
    write_carded(tmp_path, some_rows(HUGE / 2), "some")
    async with serving(tmp_path) as engine:
        assert engine.repository.get("some").session._bucketed is not None
        asked = [numbered(2, 1), spoiled(3, 2), numbered(1, 3), spoiled(30, 4), spoiled(1, 5)]
        answers = await asyncio.gather(*(infer(engine, x, "some") for x in asked))
        for answer, x in zip(answers, asked, strict=True):
            np.testing.assert_array_equal(answer, without_first(x))


@pytest.mark.parametrize("lanes", [1, 3])
async def test_a_request_split_before_that_is_run_again_in_one_piece(lanes: int, tmp_path: Path) -> None:
    write_carded(tmp_path, some_rows(HUGE / 2), "some")
    async with serving(tmp_path, lanes=lanes) as engine:
        gate = Gate(engine)
        asked = [numbered(20, 1), spoiled(3, 2), numbered(20, 3), spoiled(30, 4), numbered(1, 5)]
        answers = await asyncio.gather(*(infer(engine, x, "some") for x in asked))
        for answer, x in zip(answers, asked, strict=True):
            np.testing.assert_array_equal(answer, without_first(x))
        await settled(engine)
        # Each has been run whole, and nothing has been run after that.
        whole = [run.input for run in gate.runs if len(run.input) > MAX_BATCH]
        assert sorted(len(x) for x in whole) == [20, 20, 30]


async def test_a_card_that_a_trial_shows_to_be_wrong_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_carded(tmp_path, unique_rows(), "unique")  # it may well answer as many rows as came, in another order
    async with serving(tmp_path) as engine:
        assert engine.repository.get("unique").max_batch == 0
        assert "unique/1): each request has runs of its own: Unique in the graph: its output 'y'" in caplog.text
        asked = [numbered(2, seed) for seed in range(9, 0, -1)]
        answers = await asyncio.gather(*(infer(engine, x, "unique") for x in asked))
        for answer, x in zip(answers, asked, strict=True):
            np.testing.assert_array_equal(answer, np.unique(x, axis=0))


async def test_whoever_leaves_meanwhile_disturbs_nobody(tmp_path: Path) -> None:
    write_carded(tmp_path, some_rows(HUGE / 2), "some")
    async with serving(tmp_path, lanes=2) as engine:
        random = np.random.default_rng(0)
        ends: Counter[str] = Counter()
        for number in range(60):
            asked = [
                (spoiled if number > 3 and random.random() < 0.1 else numbered)(int(random.integers(1, 20)), 100 + i)
                for i in range(8)
            ]
            tasks = [asyncio.create_task(infer(engine, x, "some")) for x in asked]
            for _ in range(int(random.integers(0, 4))):
                await asyncio.sleep(0)
            for task in tasks:
                if random.random() < 0.2:
                    task.cancel()
            for task, x in zip(tasks, asked, strict=True):
                try:
                    np.testing.assert_array_equal(await task, without_first(x))
                    ends["answered"] += 1
                except asyncio.CancelledError:
                    ends["left"] += 1
        await settled(engine)
        assert engine.repository.get("some").max_batch == 0
        assert ends.keys() == {"answered", "left"}


async def test_a_card_that_lies_of_a_compressor_gives_each_its_own_rows(tmp_path: Path) -> None:
    write_carded(tmp_path, compressor(), "found")
    async with serving(tmp_path, lanes=2) as engine:
        asked = [numbered(1 + seed % 12, seed) for seed in range(64)]
        answers = await asyncio.gather(*(infer(engine, x, "found") for x in asked))
        for answer, x in zip(answers, asked, strict=True):
            np.testing.assert_array_equal(answer, over_half(x))


async def test_a_classifier_that_drops_a_row_fails_for_whom_it_drops_it_and_names_the_output(tmp_path: Path) -> None:
    drop_rows(write_package(tmp_path), "model.onnx", "mean", by="image", over=254)
    async with serving(tmp_path) as engine:
        gate = Gate(engine)
        good = [example(2, seed) for seed in range(2)]
        first, white, second = ask(engine, good[0]), ask(engine, WHITE), ask(engine, good[1])
        check_answer(await first, good[0])
        check_answer(await second, good[1])
        with pytest.raises(
            InternalError, match=r"^model 'tiny' failed on this request: its output 'mean' has 0 rows after a run of 1$"
        ):
            await white
        assert gate.rows == [5, 2, 1, 2]


async def test_an_encoder_that_drops_a_row_fails_for_whom_it_drops_it_and_names_the_output(tmp_path: Path) -> None:
    drop_rows(write_words(tmp_path), "encoder.onnx", "features", by="image", over=254)
    white = np.full((1, 2, 2), 255, "u1")
    async with serving(tmp_path) as engine:
        alone = up_to_end(token_rows(await describe(engine))[0])
        for _ in range(2):
            callers = [describe(engine), describe(engine, white), describe(engine)]
            with pytest.raises(InternalError, match="'words' failed on this request: its output 'features' has 0 rows"):
                await callers[1]
            for caller in (callers[0], callers[2]):
                assert up_to_end(token_rows(await caller)[0]) == alone
        await settled(engine)


async def test_a_part_that_drops_a_row_fails_for_whom_it_drops_it_and_names_the_output(tmp_path: Path) -> None:
    folder = write_explaining_package(tmp_path)
    drop_rows(folder, "deconv.onnx", "strengths", by="image", over=254)
    async with serving(tmp_path) as engine:

        def ask_part(images: Any) -> asyncio.Task[Any]:
            inputs = {"image": images, "layer": np.zeros(len(images), "i8")}
            return asyncio.create_task(engine.infer("seeing", None, inputs, part="deconv"))

        alone = (await ask_part(example(1))).outputs
        callers = [ask_part(example(1)), ask_part(WHITE), ask_part(example(1))]
        with pytest.raises(InternalError, match="'seeing' failed on this request: its output 'strengths' has 0 rows"):
            await callers[1]
        for caller in (callers[0], callers[2]):
            for name, values in (await caller).outputs.items():
                np.testing.assert_array_equal(values, alone[name])


async def test_a_step_that_drops_a_row_fails_for_whom_it_drops_it_and_names_the_output(tmp_path: Path) -> None:
    weights = sight()[:, 0]
    bright = np.where(weights > 0, 255, 0).astype("u1").reshape(1, 2, 2)
    limit = 0.95 * float(bright.reshape(-1).astype("f4") @ weights)
    drop_rows(write_words(tmp_path), "model.onnx", "attention", by="features", over=limit)
    async with serving(tmp_path) as engine:
        alone = up_to_end(token_rows(await describe(engine))[0])
        callers = [stream(engine, "words", {"image": image}, steps=8) for image in (BLACK, bright, BLACK)]
        with pytest.raises(InternalError, match="'words' failed on this request: its output 'attention' has 0 rows"):
            await callers[1]
        for caller in (callers[0], callers[2]):
            assert up_to_end(token_rows(await caller)[0]) == alone
        await settled(engine)


async def test_an_encoder_that_a_trial_shows_to_choose_rows_is_not_served(tmp_path: Path) -> None:
    folder = write_words(tmp_path)
    with np.load(folder / "golden.npz") as golden:
        brightest = float(golden["encoder.image"][:, 0, 0].max())
    drop_rows(folder, "encoder.onnx", "features", by="image", over=brightest, operator="Compress")
    message = await refusal(serving(tmp_path))
    assert "encoder.onnx has max_batch 8 but mixes rows: Compress in the graph: its output 'features'" in message
