"""What step loops give, and what they refuse."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Options
from service.errors import InvalidArgument, LectoriumError, QueueFull, UnknownModel
from tests.packages import assert_close, change_card, example
from tests.service.engine.asking import (
    check_tokens,
    label,
    serving,
    settled,
    stream,
    token,
)
from tests.service.engine.gate import Gate
from tests.step_packages import SLOTS, chars, chars_row, diffusion, write_chars


async def test_a_request_gets_what_each_step_emits_and_its_answer_with_the_last(loops: Path) -> None:
    async with serving(loops) as engine:
        emissions = await stream(engine, seed=3)
        check_tokens(emissions, seed=3)
        await settled(engine)
    assert [sorted(emission.outputs) for emission in emissions[:-1]] == [["logprob", "next_token"]] * (
        len(emissions) - 1
    )
    assert_close(emissions[-1].outputs["next_hidden"], chars_row(3)[1][None])


async def test_rows_of_one_request_step_together_each_with_its_own_numbers(loops: Path) -> None:
    async with serving(loops) as engine:
        check_tokens(await stream(engine, inputs=token(SLOTS), seed=5), seed=5, rows=SLOTS)


async def test_a_loop_that_emits_nothing_answers_at_its_end(loops: Path) -> None:
    async with serving(loops) as engine:
        answer = await engine.infer("diffusion", None, label(2, 0), options=Options(seed=4, steps=6))
    wanted = np.stack([diffusion(4, 2, 6), diffusion(4, 0, 6, row=1)])
    assert_close(answer.outputs["image"], wanted)
    assert answer.compute_s > 0


@pytest.mark.parametrize("outputs", [["logprob"], ["next_hidden", "next_token"], ["next_hidden"]])
async def test_the_outputs_asked_for_come_in_that_order(outputs: list[str], loops: Path) -> None:
    async with serving(loops) as engine:
        emissions = await stream(engine, "endless", outputs=outputs, steps=3)
    assert list(emissions[-1].outputs) == outputs
    emitted = [name for name in outputs if name != "next_hidden"]
    assert [list(emission.outputs) for emission in emissions[:-1]] == [emitted, emitted]


async def test_tensors_left_out_are_the_cards_defaults(loops: Path) -> None:
    async with serving(loops) as engine:
        nothing, all_said, cold = await asyncio.gather(
            stream(engine, seed=1),
            stream(engine, inputs={**token(), "temperature": np.ones(1, "f4")}, seed=1),
            stream(engine, inputs={"temperature": np.full(2, 0.01, "f4")}, seed=1),
        )
    check_tokens(nothing, seed=1)
    check_tokens(all_said, seed=1)
    assert cold[0].outputs["next_token"][0] == chars(1, 1, temperature=0.01)[0]
    assert len(cold[0].outputs["next_token"]) == 2


async def test_the_same_seed_gives_the_same_answer_whatever_shares_the_steps(loops: Path) -> None:
    async with serving(loops, lanes=2) as engine:
        callers = [stream(engine, "chars", token(1 + seed % 3), seed=seed, steps=5 + seed % 17) for seed in range(40)]
        images = [
            asyncio.create_task(
                engine.infer("diffusion", None, label(seed % 3), options=Options(seed=seed, steps=1 + seed))
            )
            for seed in range(20)
        ]
        for seed, caller in enumerate(callers):
            check_tokens(await caller, seed, 5 + seed % 17, rows=1 + seed % 3)
        for seed, image in enumerate(images):
            wanted = diffusion(seed, seed % 3, 1 + seed)[None]
            assert_close((await image).outputs["image"], wanted)
        await settled(engine)


async def test_without_a_seed_each_request_draws_other_numbers(loops: Path) -> None:
    async with serving(loops) as engine:
        answers = await asyncio.gather(*(stream(engine, "endless", steps=20) for _ in range(3)))
    said = {tuple(int(emission.outputs["next_token"][0]) for emission in emissions) for emissions in answers}
    assert len(said) == 3


async def test_an_answer_says_which_seed_gives_it_again(loops: Path) -> None:
    async with serving(loops) as engine:
        emissions = await stream(engine, inputs=token(2))
        check_tokens(emissions, emissions[0].seed, rows=2)
        answer = await engine.infer("diffusion", None, label(1))
        assert answer.seed is not None
        assert_close(answer.outputs["image"][0], diffusion(answer.seed, 1))


WRONG: dict[str, tuple[dict[str, Any], type[LectoriumError], str]] = {
    "unknown_model": ({"model": "huge"}, UnknownModel, "no model 'huge'"),
    "runs_once": ({"model": "tiny"}, InvalidArgument, "model 'tiny' runs once; it has no steps"),
    "no_steps": ({"options": Options(steps=0)}, InvalidArgument, "steps is 0; model 'chars' allows 1 to 1000"),
    "too_many_steps": (
        {"options": Options(steps=1001)},
        InvalidArgument,
        "steps is 1001; model 'chars' allows 1 to 1000",
    ),
    "negative_seed": (
        {"options": Options(seed=-1)},
        InvalidArgument,
        "seed is -1; model 'chars' allows 0 to 9223372036854775807",
    ),
    "large_seed": (
        {"options": Options(seed=2**63)},
        InvalidArgument,
        "seed is 9223372036854775808; model 'chars' allows",
    ),
    "unknown_level": ({"options": Options(priority=2)}, InvalidArgument, "priority is 2; model 'chars' allows"),
    "unknown_input": ({"inputs": {"word": np.ones(1)}}, InvalidArgument, "'chars' has no input 'word'"),
    "inner_input": ({"inputs": {"hidden": np.ones((1, 8), "f4")}}, InvalidArgument, "'chars' has no input 'hidden'"),
    "datatype": (
        {"inputs": {"token": np.ones(1, "f4")}},
        InvalidArgument,
        "'token' is FP32; model 'chars' allows INT64",
    ),
    "shape": (
        {"inputs": {"token": np.ones((1, 2), "i8")}},
        InvalidArgument,
        r"'token' is \[1, 2\]; model 'chars' allows \[-1\]",
    ),
    "no_rows": ({"inputs": token(0)}, InvalidArgument, "at least one row"),
    "rows_differ": ({"inputs": {**token(2), "temperature": np.ones(3, "f4")}}, InvalidArgument, "2 and 3 rows"),
    "more_rows_than_slots": (
        {"inputs": token(SLOTS + 1)},
        InvalidArgument,
        "the request has 9 rows; model 'chars' allows at most 8",
    ),
    "no_rows_wanted": ({"options": Options(rows=0)}, InvalidArgument, "rows is 0; model 'chars' allows 1 to 8"),
    "other_rows": (
        {"inputs": token(2), "options": Options(rows=3)},
        InvalidArgument,
        "rows is 3; the inputs for model 'chars' have 2",
    ),
    "unknown_output": ({"outputs": ["next_cell"]}, InvalidArgument, "'chars' has no output 'next_cell'"),
    "needed": ({"model": "diffusion"}, InvalidArgument, "input 'label' of model 'diffusion' is missing"),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=list(WRONG))
async def test_a_wrong_request_is_refused_before_it_takes_a_place(
    change: dict[str, Any], error: type[LectoriumError], message: str, loops: Path
) -> None:
    request = {"model": "chars", "version": None, "inputs": {}, **change}
    async with serving(loops) as engine:
        with pytest.raises(error, match=message):
            await anext(engine.steps(**request))
        await settled(engine)


@pytest.mark.parametrize("options", [Options(steps=3), Options(seed=1)])
async def test_a_model_that_runs_once_takes_neither_steps_nor_a_seed(options: Options, loops: Path) -> None:
    async with serving(loops) as engine:
        with pytest.raises(InvalidArgument, match="was given; model 'tiny' runs once and allows none"):
            await engine.infer("tiny", None, {"image": example(1)}, options=options)


async def test_a_request_without_tensors_has_as_many_rows_as_it_asks_for(loops: Path) -> None:
    async with serving(loops) as engine:
        check_tokens(await stream(engine, "chars", seed=3, rows=4), 3, rows=4)


async def test_a_loop_that_emits_is_no_single_answer(loops: Path) -> None:
    async with serving(loops) as engine:
        with pytest.raises(LectoriumError, match=r"'chars' emits .* at every step; request it as a stream"):
            await engine.infer("chars", None, {})


async def test_the_smallest_and_the_largest_seed_are_taken(loops: Path) -> None:
    async with serving(loops) as engine:
        for seed in (0, 2**63 - 1):
            check_tokens(await stream(engine, seed=seed), seed)


async def test_a_loops_full_line_refuses_at_once(loops: Path, single_steps: None) -> None:
    async with serving(loops, max_queue_rows=4) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = stream(engine, "endless", token(SLOTS), steps=2)
            await gate.reached(1)
            waiting = stream(engine, "endless", token(4), steps=2)
            await asyncio.sleep(0)
            with pytest.raises(QueueFull, match="'endless': the queue holds 4 of at most 4 rows"):
                await stream(engine, "endless")
        await asyncio.gather(running, waiting)
        assert engine.repository.get("endless").statistics.failures == {"REJECTED": 1}


async def test_a_step_that_gives_only_answers_gives_them_at_the_end(tmp_path: Path) -> None:
    change_card(write_chars(tmp_path, ends=False), "loop.emit", [])
    async with serving(tmp_path) as engine:
        [emission] = await stream(engine, inputs=token(2), steps=6, seed=1)
    assert (emission.step, emission.last, list(emission.outputs)) == (6, True, ["next_hidden"])
    wanted = np.stack([chars_row(1, 6, row, ends=False)[1] for row in range(2)])
    assert_close(emission.outputs["next_hidden"], wanted)
