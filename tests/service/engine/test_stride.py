"""Emissions of every k-th step: the same as of every step, fewer, and nothing is copied between them."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import DecodingOptions, Emission, Options
from service.engine.binding import DeviceBuffer
from service.engine.device import Device
from service.engine.model import Model
from service.engine.session import Session
from service.engine.slots import Slots
from service.engine.step_request import StepRequest
from service.errors import InvalidArgument
from service.package import Loop, read_package
from tests.packages import assert_close, change_card
from tests.service.engine.asking import label, serving, settled, stream, token
from tests.service.engine.gate import Gate
from tests.step_packages import SLOTS, chars, diffusion, write_diffusion, write_words
from tests.step_packages.diffusion import patterns
from tests.step_packages.words import BLACK


def emitted(emissions: list[Emission]) -> dict[int, list[int]]:
    """The tokens of all rows, by step."""
    return {emission.step: emission.outputs["next_token"].tolist() for emission in emissions}


@pytest.mark.parametrize("rows", [1, 3])
async def test_every_kth_step_and_the_last_are_emitted_as_without_a_stride(rows: int, loops: Path) -> None:
    async with serving(loops) as engine:
        for seed in range(6):  # rows of one request end at different steps, also between two emissions
            whole = emitted(await stream(engine, "chars", token(rows), seed=seed))
            for every in (1, 2, 3, 7, 20):
                few = await stream(engine, "chars", token(rows), seed=seed, emit_every=every)
                last = max(whole)
                assert emitted(few) == {
                    step: tokens for step, tokens in whole.items() if step % every == 0 or step == last
                }
                assert [emission.last for emission in few] == [False] * (len(few) - 1) + [True]
                assert [sorted(emission.outputs) for emission in few[:-1]] == [["logprob", "next_token"]] * (
                    len(few) - 1
                )
                assert "next_hidden" in few[-1].outputs
        await settled(engine)


async def test_requests_of_different_strides_share_every_step(loops: Path, single_steps: None) -> None:
    strides = (1, 2, 5, 12)
    async with serving(loops) as engine:
        callers = [stream(engine, "endless", steps=12, seed=seed, emit_every=k) for seed, k in enumerate(strides)]
        for seed, (caller, every) in enumerate(zip(callers, strides, strict=True)):
            found = emitted(await caller)
            expected = chars(seed, 12, ends=False)
            assert found == {k: [expected[k - 1]] for k in range(1, 13) if k % every == 0 or k == 12}
        assert engine.repository.get("endless").statistics.execution_count == 12


async def test_a_caller_that_leaves_between_two_emissions_frees_its_slots(loops: Path, single_steps: None) -> None:
    async with serving(loops) as engine:
        gate = Gate(engine)
        with gate.closed():
            leaves = stream(engine, "endless", token(SLOTS - 1), steps=50, emit_every=10)
            stays = stream(engine, "endless", steps=9, seed=1, emit_every=4)
            await gate.reached(1)
            await gate.let(3)
            leaves.cancel()
            await asyncio.wait([leaves])
            await gate.let(2)
            assert gate.rows[:4] == [SLOTS] * 4
            assert gate.rows[-1] == 1
        assert list(emitted(await stays)) == [4, 8, 9]
        await settled(engine)


async def test_a_preview_of_a_diffusion_is_what_its_steps_had_reached(tmp_path: Path) -> None:
    change_card(write_diffusion(tmp_path), "loop.emit", ["image"])
    async with serving(tmp_path) as engine:
        few = await stream(engine, "diffusion", label(0, 2), steps=10, seed=3, emit_every=4)
        every = await stream(engine, "diffusion", label(0, 2), steps=10, seed=3)
    assert [emission.step for emission in few] == [4, 8, 10]
    for emission in few:
        np.testing.assert_array_equal(emission.outputs["image"], every[emission.step - 1].outputs["image"])
    assert_close(few[-1].outputs["image"], np.stack([diffusion(3, 0, 10, 0), diffusion(3, 2, 10, 1)]))


@pytest.mark.parametrize("own_memory", [False, True])
def test_between_two_emissions_nothing_is_read_of_the_steps_tensors(
    own_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_diffusion(tmp_path)
    change_card(folder, "loop.emit", ["image"])
    model = Model(read_package(folder), partial(Session, intra_op=1, device=Device("cpu", own_memory=own_memory)))
    assert isinstance(model.program, Loop)
    slots = Slots(model.program, model.session)
    read: list[Any] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            read.append(args)
            return function(*args)

        return call

    monkeypatch.setattr(slots, "_given", noted(slots._given))
    monkeypatch.setattr(DeviceBuffer, "fetch", noted(DeviceBuffer.fetch))
    for every in (3, 4):
        slots.place(StepRequest({}, {"pattern": patterns()[:2]}, ("image",), 2, 8, every, every=every))
    for step in range(1, 9):
        read.clear()
        _, results = slots.step()
        due = step in (3, 4, 6, 8)
        assert bool(read) == due
        assert bool(results) == due


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("endless", {"emit_every": 0}, "emit_every is 0; model 'endless' allows 1 to "),
    ("endless", {"emit_every": 10**9}, "emit_every is 1000000000; model 'endless' allows 1 to "),
    (
        "words",
        {"emit_every": 2},
        "emit_every is 2; model 'words' allows 1, because a text is made of every step's token",
    ),
    (
        "wordless",
        {"emit_every": 2, "decoding": DecodingOptions(strategy="beam")},
        "emit_every is 2; model 'wordless' allows 1 with beam search, which emits only at its end",
    ),
]


@pytest.fixture(scope="module")
def strided(tmp_path_factory: pytest.TempPathFactory, loops: Path) -> Path:
    folder = tmp_path_factory.mktemp("strided")
    (folder / "endless").symlink_to(loops / "endless")
    (folder / "tiny").symlink_to(loops / "tiny")
    write_words(folder)
    change_card(write_words(folder, "wordless"), "loop.text", None)
    return folder


@pytest.mark.parametrize(("model", "options", "message"), REFUSED)
async def test_a_stride_that_is_not_allowed_is_refused(
    model: str, options: dict[str, Any], message: str, strided: Path
) -> None:
    inputs = {"image": BLACK} if model != "endless" else {}
    async with serving(strided) as engine:
        with pytest.raises(InvalidArgument, match=message):
            await stream(engine, model, inputs, **options)
        await settled(engine)


async def test_a_model_that_runs_once_has_no_stride(strided: Path) -> None:
    async with serving(strided) as engine:
        with pytest.raises(InvalidArgument, match="emit_every was given; model 'tiny' runs once"):
            await engine.infer("tiny", None, {}, options=Options(emit_every=1))


async def test_a_loop_that_emits_nothing_on_its_way_takes_any_stride(loops: Path) -> None:
    async with (
        serving(loops) as engine,
        aclosing(engine.steps("diffusion", None, label(1), options=Options(seed=1, steps=5, emit_every=2))) as found,
    ):
        [emission] = [emission async for emission in found]
    assert_close(emission.outputs["image"], diffusion(1, 1, 5)[None])
