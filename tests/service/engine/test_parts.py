"""A graph beside a model's program is served like it: batched, bounded, proved, warmed, let go of."""

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Answer, Engine, Options
from service.engine.model import Model
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.errors import DeadlineExceeded, Draining, InternalError, InvalidArgument, InvalidPackage, QueueFull
from service.package import read_package
from tests.explaining_packages import PART_BATCH, activation_maps, projected, write_explaining_package, write_golden
from tests.packages import assert_close, example, expected, replace_file, write_package
from tests.service.engine.asking import WHITE, ask, check_answer, serving, settled
from tests.service.engine.controlling import controlled
from tests.service.engine.gate import Gate
from tests.step_packages import write_chars


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of `seeing`, whose part is ``deconv``; `tiny`, which has none; and a loop. Read it only."""
    folder = tmp_path_factory.mktemp("seeing")
    write_explaining_package(folder)
    write_explaining_package(folder, "fragile", fails_at=255)
    write_package(folder)
    write_chars(folder)
    return folder


def layers(rows: int) -> Tensor:
    return np.arange(rows) % 3


def ask_part(engine: Engine, images: Tensor, model: str = "seeing", **options: Any) -> asyncio.Task[Answer]:
    """A caller of its own."""
    inputs = {"image": images, "layer": layers(len(images))}
    return asyncio.create_task(engine.infer(model, "1", inputs, (), Options(**options), part="deconv"))


def check_part(answer: Answer, images: Any) -> None:
    """The answer is that to these images."""
    wanted = projected(images, np.arange(len(images)) % 3)
    assert list(answer.outputs) == list(wanted)
    np.testing.assert_array_equal(answer.outputs["maps"], wanted["maps"])
    for name in ("reconstructions", "strengths"):
        assert_close(answer.outputs[name], wanted[name])


def waiting(engine: Engine) -> dict[str, int]:
    return {model.name: callers for model, callers in engine.waiting()}


@pytest.mark.parametrize("rows", [1, PART_BATCH, PART_BATCH + 3, 3 * PART_BATCH])
async def test_a_part_answers_a_request_of_any_length(rows: int, seeing: Path) -> None:
    async with serving(seeing) as engine:
        check_part(await ask_part(engine, example(rows)), example(rows))
        await settled(engine)


async def test_only_the_outputs_asked_for_come(seeing: Path) -> None:
    async with serving(seeing) as engine:
        inputs = {"image": example(1), "layer": layers(1)}
        answer = await engine.infer("seeing", None, inputs, ["maps"], part="deconv")
    assert list(answer.outputs) == ["maps"]


async def test_requests_for_a_part_share_its_runs_and_no_other_graphs(seeing: Path) -> None:
    async with serving(seeing) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1), "seeing")
            await gate.reached(1)
            parts = [ask_part(engine, example(rows, seed)) for seed, rows in enumerate((1, 2, 1, 1))]
            whole = [ask(engine, example(2, seed), "seeing") for seed in range(2)]
            await asyncio.sleep(0)
        await asyncio.gather(running, *whole)
        for seed, (caller, rows) in enumerate(zip(parts, (1, 2, 1, 1), strict=True)):
            check_part(await caller, example(rows, seed))
        for seed, caller in enumerate(whole):
            check_answer(await caller, example(2, seed))
        runs = sorted((run.model, len(run.input)) for run in gate.runs[1:])
    assert runs == [("seeing", 4), ("seeing.deconv", 1), ("seeing.deconv", PART_BATCH)]


async def test_a_run_fetches_what_its_requests_ask_for_and_each_gets_its_own(seeing: Path) -> None:
    async with serving(seeing) as engine:
        gate = Gate(engine)
        with gate.closed():
            first = ask(engine, example(1), "seeing", outputs=["probabilities"])
            await gate.reached(1)
            plain = ask(engine, example(2, 1), "seeing", outputs=["probabilities"])
            seen = ask(engine, example(3, 2), "seeing", outputs=["cam", "probabilities"])
            await asyncio.sleep(0)
        await first
        answers = await asyncio.gather(plain, seen)
        fetched = [run.outputs for run in gate.runs]
    assert fetched == [("probabilities",), ("probabilities", "cam")]
    assert [list(answer.outputs) for answer in answers] == [["probabilities"], ["cam", "probabilities"]]
    assert_close(answers[0].outputs["probabilities"], expected(example(2, 1)))
    assert_close(answers[1].outputs["cam"], activation_maps(example(3, 2)))


@pytest.mark.parametrize(
    ("model", "part", "has"),
    [
        ("tiny", "deconv", r"\[\]"),
        ("chars", "deconv", r"\[\]"),
        ("seeing", "encoder", r"\['deconv'\]"),
        ("seeing", "x" * 500, r"\['deconv'\]"),
    ],
)
async def test_a_part_the_model_does_not_have_is_refused(model: str, part: str, has: str, seeing: Path) -> None:
    async with serving(seeing) as engine:
        with pytest.raises(InvalidArgument, match=f"{model!r} has no part .*; it has {has}") as refused:
            await engine.infer(model, None, {}, part=part)
    assert len(str(refused.value)) < 200


BAD_INPUTS: dict[str, tuple[Tensors, str]] = {
    "no_layer": ({"image": example(1)}, "input 'layer' of model 'seeing' is missing"),
    "layers_of_fewer_rows": ({"image": example(2), "layer": layers(1)}, "2 and 1 rows"),
    "a_layer_in_32_bits": (
        {"image": example(1), "layer": layers(1).astype("i4")},
        "is INT32; model 'seeing' allows INT64",
    ),
    "the_programs_output": ({"image": example(1), "layer": layers(1), "mean": layers(1)}, "no input 'mean'"),
}


@pytest.mark.parametrize(("inputs", "message"), BAD_INPUTS.values(), ids=list(BAD_INPUTS))
async def test_what_a_part_does_not_take_is_refused(inputs: Tensors, message: str, seeing: Path) -> None:
    async with serving(seeing) as engine:
        with pytest.raises(InvalidArgument, match=message):
            await engine.infer("seeing", None, inputs, part="deconv")


async def test_a_part_has_a_line_of_its_own_and_both_count_as_the_models(seeing: Path) -> None:
    async with serving(seeing, max_queue_rows=3) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            parts = [ask_part(engine, example(rows)) for rows in (1, 2)]
            whole = ask(engine, example(2), "seeing")
            await asyncio.sleep(0)
            assert waiting(engine)["seeing"] == 3
            assert engine._queues.rows("seeing", "1") == 5
            with pytest.raises(QueueFull, match="'seeing': the queue holds 3 of at most 3 rows"):
                await ask_part(engine, example(1))
        await asyncio.gather(running, whole, *parts)
        found = engine.repository.get("seeing").statistics
    assert (found.success.count, found.inference_count, found.failures) == (3, 5, {"REJECTED": 1})


async def test_a_caller_of_a_part_who_leaves_gives_the_rows_back(seeing: Path) -> None:
    async with serving(seeing, max_queue_rows=2) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            leaving = ask_part(engine, example(2))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait([leaving])
            staying = ask_part(engine, example(1, 5))
            await asyncio.sleep(0)
        await running
        check_part(await staying, example(1, 5))
        assert [len(run.input) for run in gate.runs if run.model == "seeing.deconv"] == [1]
        await settled(engine)


async def test_a_request_for_a_part_has_its_deadline(seeing: Path) -> None:
    async with serving(seeing) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            with pytest.raises(DeadlineExceeded, match=r"'seeing': no answer in 0\.02 s"):
                await ask_part(engine, example(1), timeout_s=0.02)
        await running


async def test_a_request_that_makes_a_part_fail_fails_alone(seeing: Path) -> None:
    async with serving(seeing) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            good, bad = ask_part(engine, example(1), "fragile"), ask_part(engine, WHITE, "fragile")
            await asyncio.sleep(0)
        await running
        with pytest.raises(InternalError, match="'fragile' failed on this request"):
            await bad
        check_part(await good, example(1))


async def test_who_waits_for_a_part_when_the_engine_ends_is_told_so(seeing: Path) -> None:
    async with serving(seeing) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask_part(engine, example(2))
            await gate.reached(1)
            late = ask_part(engine, example(1))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.02, gate.open)
            await engine.__aexit__(None, None, None)
        check_part(await running, example(2))
        with pytest.raises(Draining):
            await late


async def test_a_request_for_a_part_ends_on_the_version_it_began_with(tmp_path: Path) -> None:
    write_explaining_package(tmp_path)
    async with controlled(tmp_path) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask_part(engine, example(1))
            await gate.reached(1)
            inside = ask_part(engine, example(2, 3))
            await asyncio.sleep(0)
            await engine.control.unload("seeing")
            write_package(tmp_path, "seeing", 2)
            await engine.control.load("seeing")
        check_part(await running, example(1))
        check_part(await inside, example(2, 3))
        with pytest.raises(InvalidArgument, match="has no part"):
            await engine.infer("seeing", "2", {}, part="deconv")


def load(folder: Path) -> Model:
    return Model(read_package(folder), partial(Session, intra_op=1))


def golden(**changes: Any) -> dict[str, Any]:
    """A right golden example of `seeing`, but for the changes; None takes an array out."""
    image, layer = example(2), np.array([0, 2])
    right: dict[str, Any] = {"image": image, "probabilities": expected(image), "mean": image.mean((1, 2), dtype="f4")}
    right["cam"] = activation_maps(image)
    right |= {
        f"deconv.{key}": array for key, array in {"image": image, "layer": layer, **projected(image, layer)}.items()
    }
    return {key: array for key, array in {**right, **changes}.items() if array is not None}


OTHER_ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "another_reconstruction": ({"deconv.reconstructions": np.zeros((2, 2, 4, 4), "f4")}, "'deconv.reconstructions'"),
    "another_map": ({"deconv.maps": np.full((2, 2), 9)}, "'deconv.maps' differs by"),
    "another_activation_map": ({"cam": np.full((2, 3, 2, 2), 9, "f4")}, "'cam' differs by"),
}


@pytest.mark.parametrize(("changes", "message"), OTHER_ANSWERS.values(), ids=list(OTHER_ANSWERS))
def test_a_part_that_gives_another_answer_than_the_golden_one_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_explaining_package(tmp_path)
    write_golden(folder, golden())
    load(folder)
    write_golden(folder, golden(**changes))
    with pytest.raises(InvalidPackage, match=f"seeing/1.*golden output {message}"):
        load(folder)


def test_large_values_may_differ_by_as_large_a_part_of_them(tmp_path: Path) -> None:
    folder = write_explaining_package(tmp_path)  # the tolerance is 0.001
    image = np.full((2, 4, 4), 200, "u1")
    right = {"image": image, "probabilities": expected(image), "cam": activation_maps(image)}
    write_golden(folder, golden(**right, mean=np.full(2, 200.15, "f4")))
    load(folder)
    write_golden(folder, golden(**right, mean=np.full(2, 200.25, "f4")))
    with pytest.raises(InvalidPackage, match=r"'mean' differs by 0\.25"):
        load(folder)


@pytest.mark.parametrize("missing", ["deconv.image", "deconv.layer", "deconv.strengths"])
def test_a_part_is_in_the_golden_example(missing: str, tmp_path: Path) -> None:
    folder = write_explaining_package(tmp_path)
    write_golden(folder, golden(**{missing: None}))
    with pytest.raises(InvalidPackage, match=f"golden.npz: no golden example of .*{re.escape(missing)}"):
        load(folder)


def test_a_part_other_than_the_card_describes_is_refused_at_load(tmp_path: Path) -> None:
    folder = write_explaining_package(tmp_path)
    replace_file(folder, "deconv.onnx", (folder / "model.onnx").read_bytes())
    with pytest.raises(InvalidPackage, match=r"deconv.onnx: the graph's inputs are"):
        load(folder)


def test_the_smallest_and_the_largest_batch_of_a_part_are_run_before_its_model_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    run = Session.run

    def recorded(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        if "layer" in inputs:
            rows.append(len(inputs["layer"]))
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", recorded)
    model = load(write_explaining_package(tmp_path))
    assert rows == [2, 1, PART_BATCH]
    model.parts["deconv"].providers = ("AnotherExecutionProvider",)
    assert model.providers == ("CPUExecutionProvider", "AnotherExecutionProvider")
