"""What is copied into a repository, changed there or removed from it is followed, by itself."""

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine, version_reader
from service.engine import loader as loader_module
from service.engine.model import Model
from service.engine.watch import Watch
from service.package import read_package
from tests.packages import example, write_package
from tests.service.engine.asking import ask, check_answer, serving
from tests.service.engine.controlling import controlled, reason, retrain, versions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one package, `tiny`."""
    write_package(tmp_path / "zoo")
    return tmp_path / "zoo"


@asynccontextmanager
async def watched(folder: Path, **settings: Any) -> AsyncIterator[tuple[Engine, Watch]]:
    """An engine whose watch looks when the test says so."""
    async with controlled(folder, **settings) as engine:
        watch = Watch(folder, engine.repository, engine.loader)
        await watch.start()
        yield engine, watch


async def look_twice(watch: Watch) -> None:
    await watch.poll()
    await watch.poll()


def served(engine: Engine) -> list[Model]:
    return list(engine.repository)


async def test_a_new_model_and_a_new_version_are_served(folder: Path) -> None:
    async with watched(folder) as (engine, watch):
        old = served(engine)
        write_package(folder, "other", 3)
        write_package(folder, "tiny", 2)
        await look_twice(watch)
        assert [str(model) for model in engine.repository] == ["other/3", "tiny/1", "tiny/2"]
        assert [engine.repository.get("tiny", "1")] == old, "what has not changed is not loaded again"


async def test_nothing_is_loaded_while_it_still_changes(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with watched(folder) as (engine, watch):
        package = write_package(folder, "tiny", 2)
        files = {path: path.read_bytes() for path in package.iterdir()}
        shutil.rmtree(package)
        await look_twice(watch)
        package.mkdir()
        for path, content in files.items():
            path.write_bytes(content[:10])
            await watch.poll()
            path.write_bytes(content)
            await watch.poll()
            assert versions(engine) == ["1"]
        await watch.poll()
        assert versions(engine) == ["1", "2"]
        assert "ERROR" not in {record.levelname for record in caplog.records}


async def test_changed_files_are_loaded_again_in_their_version_only(folder: Path) -> None:
    write_package(folder, "tiny", 2)
    async with watched(folder) as (engine, watch):
        second = engine.repository.get("tiny", "2")
        retrain(folder / "tiny/1", 7)
        await look_twice(watch)
        check_answer(await ask(engine, example(2)), example(2), 7)
        assert engine.repository.get("tiny", "2") is second


async def test_nothing_is_loaded_where_nothing_has_changed(folder: Path) -> None:
    async with watched(folder) as (engine, watch):
        before = served(engine)
        for _ in range(4):
            await watch.poll()
        assert served(engine) == before


async def test_a_load_that_takes_long_keeps_no_other_model_from_being_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def read_slowly(path: Path) -> Any:
        if path.parent.name == "slow":
            go_on.wait(10)
        return read_package(path)

    monkeypatch.setattr(version_reader, "read_package", read_slowly)
    monkeypatch.setattr(loader_module, "usable_cores", lambda: 2)
    async with watched(folder) as (engine, watch):
        write_package(folder, "slow")
        for _ in range(2):
            await watch.poll(within_s=0)
        write_package(folder, "other")
        for _ in range(2):
            await watch.poll(within_s=0)
        while "other" not in engine.repository.names:
            await watch.poll(within_s=0.01)
        assert "slow" not in engine.repository.names
        go_on.set()
        await watch.poll()
        assert "slow" in engine.repository.names


async def test_a_removed_version_and_a_removed_model_go(folder: Path) -> None:
    write_package(folder, "tiny", 2)
    write_package(folder, "other")
    async with watched(folder) as (engine, watch):
        shutil.rmtree(folder / "tiny/1")
        shutil.rmtree(folder / "other")
        await look_twice(watch)
        assert [str(model) for model in engine.repository] == ["tiny/2"]
        write_package(folder, "other")
        await look_twice(watch)
        assert engine.repository.names == ["other", "tiny"]


async def test_a_model_moved_away_and_back_between_two_looks_serves_on(folder: Path) -> None:
    async with watched(folder) as (engine, watch):
        before = served(engine)
        (folder / "tiny").rename(folder / "tiny.old")
        await watch.poll()
        (folder / "tiny.old").rename(folder / "tiny")
        await look_twice(watch)
        assert served(engine) == before


async def test_a_corrupt_package_is_told_once_for_each_change_and_heals(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        return sum(record.levelno == logging.ERROR for record in caplog.records)

    async with watched(folder) as (engine, watch):
        before = served(engine)
        right = (folder / "tiny/1/labels.txt").read_bytes()
        for times, content in enumerate((b"", b"zero\n"), start=1):
            (folder / "tiny/1/labels.txt").write_bytes(content)
            for _ in range(4):
                await watch.poll()
            assert told() == times
            assert "tiny/1/labels.txt has sha256" in await reason(engine)
            assert served(engine) == before
        (folder / "tiny/1/labels.txt").write_bytes(right)
        await look_twice(watch)
        assert await reason(engine) == ""
        assert served(engine) != before
        assert told() == 2


async def test_a_version_changed_while_another_was_corrupt_is_not_forgotten(folder: Path) -> None:
    write_package(folder, "tiny", 2)
    async with watched(folder) as (engine, watch):
        labels = (folder / "tiny/2/labels.txt").read_bytes()
        retrain(folder / "tiny/1", 7)
        (folder / "tiny/2/labels.txt").unlink()
        await look_twice(watch)
        check_answer(await ask(engine, example(2)), example(2), 1)
        (folder / "tiny/2/labels.txt").write_bytes(labels)
        await look_twice(watch)
        check_answer(await ask(engine, example(2)), example(2), 7)


async def test_a_package_that_was_bad_at_the_start_heals(folder: Path) -> None:
    labels = (folder / "tiny/1/labels.txt").read_bytes()
    (folder / "tiny/1/labels.txt").unlink()
    async with watched(folder) as (engine, watch):
        await look_twice(watch)
        assert not engine.ready
        (folder / "tiny/1/labels.txt").write_bytes(labels)
        await look_twice(watch)
        assert engine.loader.complete.is_set()
        assert versions(engine) == ["1"]


async def test_a_repository_that_is_away_for_a_while_unloads_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(folder) as (engine, watch):
        before = served(engine)
        shutil.move(folder, folder.with_name("away"))
        for _ in range(3):
            await watch.poll()
        assert served(engine) == before
        assert caplog.text.count("cannot be read") == 1
        shutil.move(folder.with_name("away"), folder)
        await look_twice(watch)
        assert served(engine) == before


async def test_a_new_highest_version_may_choose_others(folder: Path) -> None:
    async with watched(folder) as (engine, watch):
        write_package(folder, "tiny", 2, serving={"version_policy": {"latest": {"num_versions": 1}}})
        await look_twice(watch)
        assert versions(engine) == ["2"]


async def test_an_engine_that_polls_follows_the_folder_by_itself(folder: Path) -> None:
    async with serving(folder, model_control="poll", poll_s=0.01) as engine:
        write_package(folder, "tiny", 2)
        async with asyncio.timeout(10):
            while versions(engine) != ["1", "2"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        check_answer(await ask(engine, example(2), version="2"), example(2), 2)
