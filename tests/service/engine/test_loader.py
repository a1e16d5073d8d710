"""What is loaded at the start, and when a server is ready."""

import shutil
from pathlib import Path

import pytest

from service.engine.repository import Row
from service.errors import InvalidPackage
from tests.packages import example, write_package
from tests.service.engine.asking import ask, check_answer, serving
from tests.service.engine.controlling import controlled, reason, refusal, versions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one package, `tiny`."""
    write_package(tmp_path / "zoo")
    return tmp_path / "zoo"


async def test_every_version_of_every_package_is_served(repository: Path) -> None:
    async with serving(repository) as engine:
        assert engine.repository.names == ["fragile", "other", "tiny"]
        assert versions(engine) == ["1", "2"]


async def test_a_missing_repository_is_refused_by_name(tmp_path: Path) -> None:
    for control in ("none", "poll", "explicit"):
        assert "nowhere: no such folder" in await refusal(serving(tmp_path / "nowhere", model_control=control))


@pytest.mark.parametrize("strange", ["tiny/latest", "tiny/0", "tiny/01", "tiny/1.5", "tiny/.git", "tiny"])
async def test_a_repository_with_no_version_folder_is_refused(strange: str, tmp_path: Path) -> None:
    (tmp_path / strange).mkdir(parents=True)
    assert f"{tmp_path.name}: no package" in await refusal(serving(tmp_path))


async def test_what_may_be_filled_later_may_be_empty(tmp_path: Path) -> None:
    async with controlled(tmp_path) as engine:
        assert engine.ready
        write_package(tmp_path)
        await engine.control.load("tiny")
        assert versions(engine) == ["1"]


async def test_what_is_no_model_or_version_folder_is_passed_over(folder: Path) -> None:
    for strange in ("tiny/1.backup", "tiny/new", "lost+found/1", ".cache/1", "a b/1", "T" * 65 + "/1"):
        shutil.copytree(folder / "tiny/1", folder / strange)
    (folder / "tiny/2").write_text("")
    (folder / "README.md").write_text("packages")
    async with serving(folder) as engine:
        assert [str(model) for model in engine.repository] == ["tiny/1"]
        assert [row.name for row in await engine.control.index()] == ["tiny"]


async def test_one_bad_package_refuses_the_whole_repository_that_nobody_can_mend_later(folder: Path) -> None:
    (write_package(folder, "bad") / "model.onnx").write_bytes(b"")
    assert "bad/1/model.onnx has sha256" in await refusal(serving(folder))


@pytest.mark.parametrize("control", ["explicit", "poll"])
async def test_elsewhere_one_bad_package_leaves_the_others_served_and_the_server_not_ready(
    control: str, folder: Path
) -> None:
    (write_package(folder, "bad") / "labels.txt").unlink()
    async with serving(folder, model_control=control) as engine:
        assert engine.alive
        assert not engine.ready
        assert "bad/1/labels.txt" in await reason(engine, "bad")
        check_answer(await ask(engine, example(2)), example(2))


@pytest.mark.parametrize("mended", [True, False])
async def test_a_server_is_ready_once_a_missing_model_is_there_or_not_wanted_any_more(
    mended: bool, folder: Path
) -> None:
    bad = write_package(folder, "bad")
    labels = (bad / "labels.txt").read_bytes()
    (bad / "labels.txt").unlink()
    async with controlled(folder) as engine:
        with pytest.raises(InvalidPackage):
            await engine.control.load("bad")
        assert not engine.ready
        if mended:
            (bad / "labels.txt").write_bytes(labels)
            await engine.control.load("bad")
        else:
            await engine.control.unload("bad")
        assert engine.loader.complete.is_set()
        assert await reason(engine, "bad") == ("" if mended else "not loaded")


async def test_a_load_that_fails_later_does_not_make_a_server_unready(folder: Path) -> None:
    async with controlled(folder) as engine:
        (write_package(folder, "bad") / "labels.txt").unlink()
        with pytest.raises(InvalidPackage):
            await engine.control.load("bad")
        assert engine.ready


async def test_only_the_models_named_are_loaded_at_the_start(folder: Path) -> None:
    write_package(folder, "idle")
    async with controlled(folder, load_models=("tiny",)) as engine:
        assert engine.repository.names == ["tiny"]
        assert engine.ready
        assert (await engine.control.index())[0] == Row("idle", "1", "UNAVAILABLE", "not loaded")
    async with controlled(folder, load_models=()) as engine:
        assert engine.repository.names == []


async def test_a_model_that_is_wanted_and_not_there_is_in_the_index(folder: Path) -> None:
    async with controlled(folder, load_models=("tiny", "away")) as engine:
        assert not engine.ready
        assert Row("away", "", "UNAVAILABLE", "no model 'away' in the repository") in await engine.control.index()
