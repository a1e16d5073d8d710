"""What a load may change of the packages it loads."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Override
from service.errors import InvalidArgument, InvalidPackage, QueueFull, UnknownModel
from service.package.serving import DynamicBatching, Latest, Specific, VersionPolicy
from tests.bare_packages import adder
from tests.packages import MAX_BATCH, example, write_package
from tests.service.engine.asking import ask, check_answer
from tests.service.engine.controlling import controlled, reason, versions
from tests.service.engine.gate import Gate
from tests.step_packages import write_chars


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one package, `tiny`."""
    write_package(tmp_path / "zoo")
    return tmp_path / "zoo"


async def test_a_load_may_choose_the_versions_the_batch_and_who_goes_first(folder: Path) -> None:
    write_package(folder, "tiny", 2)
    async with controlled(folder) as engine:
        policy = VersionPolicy(latest=Latest())
        await engine.control.load(
            "tiny", Override(version_policy=policy, max_batch=3, dynamic_batching=DynamicBatching(priority_levels=4))
        )
        (model,) = engine.repository
        assert (model.version, model.program.max_batch) == ("2", 3)
        assert model.card.serving.dynamic_batching.priority_levels == 4
        assert engine.repository.policy("tiny") == policy
        check_answer(await ask(engine, example(8), version="2"), example(8), 2)
        assert list(model.statistics.batches) == [3, 2]
        await engine.control.load("tiny")
        assert [model.program.max_batch for model in engine.repository] == [MAX_BATCH, MAX_BATCH]


@pytest.mark.parametrize("rows", [MAX_BATCH + 1, 2**31])
async def test_a_load_may_not_make_batches_larger_than_the_card_says(rows: int, folder: Path) -> None:
    async with controlled(folder) as engine:
        with pytest.raises(InvalidArgument, match=f"max_batch_size is {rows}; model 'tiny' allows 1 to 8"):
            await engine.control.load("tiny", Override(max_batch=rows))
        assert await reason(engine) == ""


async def test_a_load_may_bring_the_files_and_leaves_none_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    package = write_package(tmp_path / "elsewhere", "tiny", 5)
    files = {5: {path.name: path.read_bytes() for path in package.iterdir()}}
    async with controlled(folder) as engine:
        await engine.control.load("tiny", Override(files=files))
        assert versions(engine) == ["5"]
        check_answer(await ask(engine, example(2), version="5"), example(2), 5)
        with pytest.raises(InvalidPackage, match=r"^tiny/5/labels.txt has sha256"):
            await engine.control.load("tiny", Override(files={5: {**files[5], "labels.txt": b"a"}}))
        assert versions(engine) == ["5"]
        assert await reason(engine, version="1") == "not among the versions that were loaded"
        assert list(private.iterdir()) == []
        assert [path.name for path in (folder / "tiny").iterdir()] == ["1"]
        await engine.control.load("tiny")
        assert versions(engine) == ["1"]


async def test_a_model_that_only_a_load_brought_may_be_unloaded(folder: Path) -> None:
    async with controlled(folder) as engine:
        files = {1: {"model.onnx": adder().SerializeToString()}}
        await engine.control.load("brought", Override(files=files))
        assert engine.repository.names == ["brought", "tiny"]
        with pytest.raises(UnknownModel):
            await engine.control.load("brought")
        await engine.control.unload("brought")
        assert [row.name for row in await engine.control.index()] == ["tiny"]


@pytest.mark.parametrize("name", ["..", "../escaped", "{root}/escaped", "a/../../escaped", "escaped\0", "", "a b"])
async def test_files_are_written_for_a_model_of_a_proper_name_only(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    written: list[Path] = []
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: written.append(path))
    async with controlled(folder) as engine:
        with pytest.raises(UnknownModel):
            await engine.control.load(name.format(root=tmp_path), Override(files={1: {"model.onnx": b"x"}}))
    assert written == []
    assert sorted(os.listdir(tmp_path)) == ["private", "zoo"]


async def test_what_a_load_does_not_accept_is_not_served(folder: Path) -> None:
    def refuse(model: Any, policy: VersionPolicy) -> None:
        raise InvalidArgument(f"{model} is not wanted")

    async with controlled(folder) as engine:
        served = engine.repository.get("tiny")
        with pytest.raises(InvalidArgument, match="tiny/1 is not wanted"):
            await engine.control.load("tiny", Override(accept=refuse))
        assert engine.repository.get("tiny") is served
        specific = VersionPolicy(specific=Specific(versions=(3,)))
        with pytest.raises(InvalidPackage, match="specific:3 chooses none"):
            await engine.control.load("tiny", Override(version_policy=specific))


async def test_fewer_rows_of_a_loop_may_step_together(folder: Path) -> None:
    write_chars(folder)
    async with controlled(folder) as engine:
        await engine.control.load("chars", Override(max_batch=2))
        model = engine.repository.get("chars")
        assert model.program.max_batch == 2
        with pytest.raises(InvalidArgument, match="the request has 3 rows; model 'chars' allows at most 2"):
            async for _ in engine.steps("chars", None, {"token": np.ones(3, "i8")}):
                pass


async def test_a_queue_that_a_load_made_shorter_is_full_sooner(folder: Path) -> None:
    short = DynamicBatching.model_validate({"default_queue_policy": {"max_queue_size": 2}})
    async with controlled(folder) as engine:
        await engine.control.load("tiny", Override(dynamic_batching=short))
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(2))
            await gate.reached(1)
            waiting = ask(engine, example(2))
            await asyncio.sleep(0)
            with pytest.raises(QueueFull, match="the queue holds 2 of at most 2 rows"):
                await ask(engine, example(1))
        await asyncio.gather(running, waiting)
