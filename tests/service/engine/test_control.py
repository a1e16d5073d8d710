"""Models come and go while others are asked, and what a load that fails leaves behind."""

import asyncio
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from service.engine import control as control_module
from service.engine import version_reader
from service.engine.repository import Row
from service.errors import ControlRefused, InvalidPackage, LectoriumError, QueueFull, UnknownModel
from service.package import read_package
from tests.packages import change_card, example, write_package
from tests.service.engine.asking import ask, check_answer, run_on, serving, waiting_rows
from tests.service.engine.controlling import controlled, other_golden, retrain, versions
from tests.service.engine.gate import Gate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one package, `tiny`."""
    write_package(tmp_path / "zoo")
    return tmp_path / "zoo"


async def test_a_load_serves_what_now_lies_in_the_folder(folder: Path) -> None:
    async with controlled(folder) as engine:
        write_package(folder, "tiny", 2)
        retrain(folder / "tiny/1", 7)
        await engine.control.load("tiny")
        assert versions(engine) == ["1", "2"]
        check_answer(await ask(engine, example(2)), example(2), 7)
        check_answer(await ask(engine, example(2), version=""), example(2), 2)
        shutil.rmtree(folder / "tiny/1")
        await engine.control.load("tiny")
        assert versions(engine) == ["2"]


async def test_an_unloaded_model_is_unknown_until_it_is_loaded_again(folder: Path) -> None:
    async with controlled(folder) as engine:
        await engine.control.unload("tiny")
        with pytest.raises(UnknownModel):
            await ask(engine, example(1))
        assert await engine.control.index() == [Row("tiny", "1", "UNAVAILABLE", "not loaded")]
        assert waiting_rows() is None
        await engine.control.unload("tiny")
        await engine.control.load("tiny")
        check_answer(await ask(engine, example(2)), example(2))
        assert waiting_rows() == 0


@pytest.mark.parametrize("name", ["huge", "", "..", "../zoo", "tiny/1", "/etc", "T" * 5000, "tiny\0", "tiny\n"])
async def test_a_model_that_is_nowhere_is_neither_loaded_nor_unloaded(name: str, folder: Path) -> None:
    async with controlled(folder) as engine:
        for change in (engine.control.load, engine.control.unload):
            with pytest.raises(UnknownModel) as refused:
                await change(name)
            assert len(str(refused.value)) < 300
        assert [row.name for row in await engine.control.index()] == ["tiny"]


def cut_graph(package: Path) -> None:
    graph = package / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-10])


def empty(package: Path) -> None:
    for path in package.iterdir():
        path.unlink()


SPOIL: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut_graph": (cut_graph, r"^tiny/1/model.onnx has sha256"),
    "no_labels": (lambda package: (package / "labels.txt").unlink(), r"^tiny/1/labels.txt is missing"),
    "no_card": (lambda package: (package / "model.json").write_bytes(b"{"), r"^tiny/1/model.json: "),
    "empty": (empty, r"^tiny/1/model.json: no such file"),
    "another_signature": (
        lambda package: change_card(package, "graph.inputs.0.shape", [-1, 9, 9]),
        r"^tiny/1/model.onnx: the graph's inputs are",
    ),
    "another_golden_answer": (other_golden, r"golden output 'probabilities' differs"),
}


@pytest.mark.parametrize("damage", SPOIL)
async def test_a_corrupt_package_is_refused_and_the_old_one_serves_on(damage: str, folder: Path) -> None:
    spoil, message = SPOIL[damage]
    async with controlled(folder) as engine:
        served = engine.repository.get("tiny")
        spoil(folder / "tiny/1")
        with pytest.raises(InvalidPackage, match=message):
            await engine.control.load("tiny")
        assert engine.repository.get("tiny") is served
        check_answer(await ask(engine, example(2)), example(2))
        (row,) = await engine.control.index()
        assert row.state == "READY"
        assert str(folder) not in row.reason
        assert row.reason


async def test_one_corrupt_version_leaves_all_versions_as_they_were(folder: Path) -> None:
    async with controlled(folder) as engine:
        retrain(folder / "tiny/1", 7)
        (write_package(folder, "tiny", 2) / "labels.txt").unlink()
        with pytest.raises(InvalidPackage, match=r"tiny/2/labels.txt"):
            await engine.control.load("tiny")
        assert versions(engine) == ["1"]
        check_answer(await ask(engine, example(2)), example(2), 1)


async def test_requests_inside_end_on_the_version_they_began_with(folder: Path) -> None:
    async with controlled(folder) as engine:
        gate = Gate(engine)
        with gate.closed():
            running, waiting = ask(engine, example(2)), None
            await gate.reached(1)
            waiting = ask(engine, example(3))
            await asyncio.sleep(0)
            retrain(folder / "tiny/1", 7)
            await engine.control.load("tiny")
            assert waiting_rows() == 3
            newcomer = ask(engine, example(2))
        check_answer(await running, example(2), 1)
        check_answer(await waiting, example(3), 1)
        check_answer(await newcomer, example(2), 7)


async def test_requests_inside_an_unloaded_model_are_answered_and_then_nothing_holds_it(folder: Path) -> None:
    async with controlled(folder) as engine:
        gate = Gate(engine)
        model = weakref.ref(engine.repository.get("tiny"))
        with gate.closed():
            running = ask(engine, example(2))
            await gate.reached(1)
            waiting = ask(engine, example(3))
            await asyncio.sleep(0)
            await engine.control.unload("tiny")
            assert [row.state for row in await engine.control.index()] == ["UNLOADING"]
        check_answer(await running, example(2))
        check_answer(await waiting, example(3))
        del running, waiting
        await asyncio.sleep(0.01)
        assert model() is None
        assert [row.state for row in await engine.control.index()] == ["UNAVAILABLE"]


async def test_metrics_of_an_unloaded_model_stay_until_its_last_request_has_ended(folder: Path) -> None:
    write_package(folder, "leaving")
    labels = {"model": "leaving", "version": "1"}

    def batches() -> float | None:
        return REGISTRY.get_sample_value("lectorium_batch_rows_count", labels)

    async with controlled(folder) as engine:
        run_on(engine, lanes=True)
        await ask(engine, example(2), "leaving")
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(2), "leaving")
            await gate.reached(1)
            await engine.control.unload("leaving")
            await asyncio.sleep(0.05)
            assert batches() == 1
        await running
        del running
        async with asyncio.timeout(10):
            while batches() is not None:  # noqa: ASYNC110 - a lane lets go of the model when it can
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("change", ["load", "unload"])
async def test_a_model_that_nobody_asks_is_let_go_at_once(change: str, folder: Path) -> None:
    async with controlled(folder) as engine:
        check_answer(await ask(engine, example(2)), example(2))
        held = engine.repository.get("tiny")
        model, session = weakref.ref(held), weakref.ref(held.session)
        del held
        await getattr(engine.control, change)("tiny")
        assert (model(), session()) == (None, None)


@pytest.mark.parametrize("change", ["load", "unload"])
async def test_a_request_that_found_its_model_before_it_left_is_answered_by_it(change: str, folder: Path) -> None:
    async with controlled(folder) as engine:
        model = engine.repository.get("tiny")
        retrain(folder / "tiny/1", 7)
        await getattr(engine.control, change)("tiny")
        check_answer(await engine.infer(model, model.version, {"image": example(2)}), example(2), 1)


async def test_who_waits_in_a_model_that_left_is_told_when_the_engine_ends(folder: Path) -> None:
    async with controlled(folder) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(2))
            await gate.reached(1)
            waiting = ask(engine, example(3))
            await asyncio.sleep(0)
            await engine.control.unload("tiny")
            asyncio.get_running_loop().call_later(0.05, gate.open)
            await engine.__aexit__(None, None, None)
        check_answer(await running, example(2))
        with pytest.raises(LectoriumError, match="the engine has stopped"):
            await waiting


async def test_requests_are_answered_all_the_while_a_model_is_loaded_again_and_again(folder: Path) -> None:
    async with controlled(folder) as engine:
        done = False

        async def callers() -> int:
            count = 0
            while not done:
                check_answer(await engine.infer("tiny", "1", {"image": example(2, count)}), example(2, count))
                count += 1
            return count

        asking = [asyncio.create_task(callers()) for _ in range(4)]
        for _ in range(10):
            await engine.control.load("tiny")
        done = True
        assert min(await asyncio.gather(*asking)) > 0


async def test_a_load_ends_though_its_caller_has_left(folder: Path) -> None:
    async with controlled(folder, load_models=()) as engine:
        leaving = asyncio.create_task(engine.control.load("tiny"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not engine.repository.names
        (still_loading,) = engine.control._tasks
        await still_loading
        assert engine.repository.names == ["tiny"]


async def test_loads_and_unloads_of_one_model_come_one_after_another(folder: Path) -> None:
    async with controlled(folder) as engine:
        changes = [engine.control.load("tiny"), engine.control.unload("tiny"), engine.control.load("tiny")]
        await asyncio.gather(*(asyncio.create_task(change) for change in changes))
        assert versions(engine) == ["1"]


async def test_more_loads_than_may_wait_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "MAX_LOADS", 2)
    async with controlled(folder) as engine:
        loads = [asyncio.create_task(engine.control.load("tiny")) for _ in range(3)]
        ends = await asyncio.gather(*loads, return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), type(None), QueueFull]
        await engine.control.load("tiny")


async def test_the_index_says_what_is_being_loaded_and_another_model_is_unloaded_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(folder, "other")
    held = threading.Event()
    async with controlled(folder, load_models=("tiny",)) as engine:

        def read_slowly(path: Path) -> Any:
            held.wait(10)
            return read_package(path)

        monkeypatch.setattr(version_reader, "read_package", read_slowly)
        loading = asyncio.create_task(engine.control.load("other"))
        await asyncio.sleep(0.01)
        assert Row("other", "1", "LOADING", "") in await engine.control.index()
        await engine.control.unload("tiny")
        assert engine.repository.names == []
        held.set()
        await loading
        assert Row("other", "1", "READY", "") in await engine.control.index()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_control": "none"}, "model_control is none; .* only if it is explicit"),
        ({"model_control": "poll"}, "model_control is poll; .* only if it is explicit"),
        ({"model_control": "explicit", "workers": 3}, "3 workers, and a request reaches only one.*model_control poll"),
    ],
)
async def test_where_requests_do_not_control_models_they_are_refused(
    settings: dict[str, Any], message: str, folder: Path
) -> None:
    async with serving(folder, **settings) as engine:
        for change in (engine.control.load, engine.control.unload):
            with pytest.raises(ControlRefused, match=message):
                await change("tiny")
        assert versions(engine) == ["1"]
