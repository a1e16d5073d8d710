"""A decoder makes of what a loop gives what its callers get, in batches; a part runs for who names it."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine, Options
from service.engine.model import Model
from service.engine.session import Session
from service.errors import DeadlineExceeded, Draining, InvalidArgument, InvalidPackage, QueueFull
from service.package import CARD, read_package
from tests.explaining_packages import write_golden
from tests.packages import assert_close
from tests.service.engine.asking import label, serving, settled, stream
from tests.service.engine.gate import Gate
from tests.service.package.refusal import refused
from tests.step_packages import diffusion
from tests.step_packages.decoded import DECODER_BATCH, pixels, write_decoded


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`decoded`, whose decoder runs at the end, and `seen`, whose decoder runs on every emission. Read it only."""
    folder = tmp_path_factory.mktemp("decoded")
    write_decoded(folder)
    write_decoded(folder, "seen", emit=True)
    return folder


def images(seed: int, labels: tuple[int, ...], steps: int) -> Any:
    """What the decoder gets at the end."""
    return np.stack([diffusion(seed, number, steps, row) for row, number in enumerate(labels)])


def ask(engine: Engine, seed: int, *labels: int, steps: int = 5, **options: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(
        engine.infer("decoded", None, label(*labels), options=Options(seed=seed, steps=steps, **options))
    )


async def test_callers_get_what_the_decoder_makes_of_the_answer_in_its_place(decoded: Path) -> None:
    async with serving(decoded) as engine:
        answer = await ask(engine, 3, 0, 2, 1)
        assert list(answer.outputs) == ["pixels"]
        assert_close(answer.outputs["pixels"], pixels(images(3, (0, 2, 1), 5)))
        with pytest.raises(InvalidArgument, match="model 'decoded' has no output 'image'; it has \\['pixels'\\]"):
            await engine.infer("decoded", None, label(0), ["image"])
        await settled(engine)


async def test_requests_that_end_together_are_decoded_together(decoded: Path) -> None:
    async with serving(decoded) as engine:
        gate = Gate(engine)
        with gate.closed():
            callers = [ask(engine, seed, *labels) for seed, labels in enumerate(((0,), (1, 2), (2,)))]
            await gate.reached(1)
        for seed, (caller, labels) in enumerate(zip(callers, ((0,), (1, 2), (2,)), strict=True)):
            assert_close((await caller).outputs["pixels"], pixels(images(seed, labels, 5)))
        rows = [len(run.input) for run in gate.runs if run.model == "decoded.decoder"]
        assert rows == [DECODER_BATCH]


@pytest.mark.parametrize("every", [None, 3])
async def test_emissions_are_decoded_each(every: int | None, decoded: Path) -> None:
    async with serving(decoded) as engine:
        emissions = await stream(engine, "seen", label(1, 0), steps=5, seed=4, emit_every=every)
        assert [emission.step for emission in emissions] == ([1, 2, 3, 4, 5] if every is None else [3, 5])
        assert all(list(emission.outputs) == ["pixels"] for emission in emissions)
        assert_close(emissions[-1].outputs["pixels"], pixels(images(4, (1, 0), 5)))
        whole = await stream(engine, "seen", label(1, 0), steps=5, seed=4)
        for emission in emissions:
            np.testing.assert_array_equal(emission.outputs["pixels"], whole[emission.step - 1].outputs["pixels"])
        await settled(engine)


async def test_a_part_and_the_decoder_run_for_who_names_them(decoded: Path) -> None:
    some = np.random.default_rng(1).normal(size=(DECODER_BATCH + 2, 4, 4)).astype("f4")
    async with serving(decoded) as engine:
        scores, made = await asyncio.gather(
            engine.infer("decoded", None, {"image": some}, part="scorer"),
            engine.infer("decoded", None, {"image": some}, part="decoder"),
        )
    assert_close(scores.outputs["score"], some.mean((1, 2)))
    assert_close(made.outputs["pixels"], pixels(some))


async def test_a_request_is_refused_before_its_steps_if_the_decoders_queue_is_full(decoded: Path) -> None:
    some = np.zeros((3, 4, 4), "f4")
    async with serving(decoded, max_queue_rows=3) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = asyncio.create_task(engine.infer("seen", None, {"image": some[:1]}, part="scorer"))
            await gate.reached(1)
            waiting = asyncio.create_task(engine.infer("decoded", None, {"image": some}, part="decoder"))
            await asyncio.sleep(0)
            with pytest.raises(QueueFull, match="'decoded': the queue holds 3 of at most 3 rows"):
                await stream(engine, "decoded", label(0), steps=5)
        await asyncio.gather(running, waiting)
        assert gate.models == ["seen.scorer", "decoded.decoder"]  # neither the encoder nor a step
        await settled(engine)


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
async def test_who_leaves_while_it_is_decoded_leaves_nothing_behind(leave: str, decoded: Path) -> None:
    async with serving(decoded) as engine:
        gate = Gate(engine)
        with gate.closed():
            timeout_s = 0.3 if leave == "deadline" else None
            leaves = ask(engine, 1, 0, steps=1, timeout_s=timeout_s)
            await gate.reached(1)
            await gate.let(2)  # the encoder and the step; now the decoder stands before the gate
            assert gate.models[-1] == "decoded.decoder"
            if leave == "cancel":
                leaves.cancel()
            await asyncio.wait([leaves])
        assert leaves.cancelled() if leave == "cancel" else isinstance(leaves.exception(), DeadlineExceeded)
        await settled(engine)


async def test_who_would_be_decoded_after_the_engines_end_is_told_so(decoded: Path) -> None:
    async with serving(decoded) as engine:
        gate = Gate(engine)
        with gate.closed():
            late = ask(engine, 1, 0, steps=1)
            await gate.reached(1)
            await gate.let(1)
            engine.refuse_all()
        with pytest.raises(Draining):
            await late
        await settled(engine)


def load(folder: Path) -> Model:
    return Model(read_package(folder), partial(Session, intra_op=1))


@pytest.mark.parametrize(
    ("key", "value", "naming"),
    [
        ("parts.scorer.max_batch", 0, "parts.scorer: max_batch is 0; the graph needs a batch dimension"),
        ("parts.step", {}, "parts.step.file"),
        ("parts.a b", None, "parts.a b"),
        ("files.scorer", None, "file 'scorer.onnx' has no checksum under 'files'"),
    ],
)
def test_a_part_that_a_card_may_not_have_is_refused(key: str, value: Any, naming: str, tmp_path: Path) -> None:
    folder = write_decoded(tmp_path)
    card = json.loads((folder / CARD).read_text())
    if key == "files.scorer":
        del card["files"]["scorer.onnx"]
    elif key.startswith("parts.scorer"):
        card["parts"]["scorer"]["max_batch"] = value
    else:
        card["parts"][key.removeprefix("parts.")] = card["parts"]["scorer"] if value is None else value
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, naming)


@pytest.mark.parametrize("name", ["step", "encoder", "decoder", "deconv"])
def test_a_part_may_not_have_the_name_of_a_graph_that_is_elsewhere_in_a_card(name: str, tmp_path: Path) -> None:
    folder = write_decoded(tmp_path)
    card = json.loads((folder / CARD).read_text())
    card["parts"] = {name: card["parts"]["scorer"]}
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, f"parts has '{name}'; a part may not be called decoder, deconv, encoder, score, step")


@pytest.mark.parametrize("missing", ["decoder.pixels", "scorer.score"])
def test_the_decoder_and_the_parts_are_in_the_golden_example(missing: str, tmp_path: Path) -> None:
    folder = write_decoded(tmp_path)
    load(folder)
    with np.load(folder / "golden.npz") as golden:
        rest = {name: array for name, array in golden.items() if name != missing}
    write_golden(folder, rest)
    with pytest.raises(InvalidPackage, match=f"no golden example of .*{missing}"):
        load(folder)
