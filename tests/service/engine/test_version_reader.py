"""Which versions of a model are read, and what is left of those that were read before one failed."""

import weakref
from pathlib import Path
from typing import Any

import pytest

from service.engine.session import Session
from service.errors import InvalidPackage, UnknownModel
from tests.packages import change_card, write_package
from tests.service.engine.asking import serving
from tests.service.engine.controlling import controlled, other_golden, reason, refusal, versions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one package, `tiny`."""
    write_package(tmp_path / "zoo")
    return tmp_path / "zoo"


@pytest.mark.parametrize(
    ("servers", "cards", "served"),
    [
        ("all", None, ["1", "2", "10"]),
        ("latest:2", None, ["2", "10"]),
        ("specific:1,2,7", None, ["1", "2"]),
        ("all", {"latest": {"num_versions": 1}}, ["10"]),
        ("latest:1", {"all": {}}, ["1", "2", "10"]),
        ("latest:1", {"specific": {"versions": [2]}}, ["2"]),
    ],
)
async def test_the_highest_versions_card_or_else_the_server_says_which_versions_are_served(
    servers: str, cards: dict[str, Any] | None, served: list[str], tmp_path: Path
) -> None:
    for version in (1, 2, 10):
        write_package(tmp_path, "tiny", version)
    change_card(tmp_path / "tiny/1", "serving", {"version_policy": {"specific": {"versions": [1]}}})
    change_card(tmp_path / "tiny/10", "serving", {"version_policy": cards})
    async with serving(tmp_path, version_policy=servers) as engine:
        assert versions(engine) == served
        with pytest.raises(UnknownModel, match=rf"'tiny' has no version '5'; it has \[{str(served)[1:-1]}\]"):
            engine.repository.get("tiny", "5")


async def test_a_policy_that_chooses_nothing_is_refused(folder: Path) -> None:
    assert "tiny: version policy specific:7 chooses none of [1]" in await refusal(
        serving(folder, version_policy="specific:7")
    )


async def test_a_version_that_is_not_chosen_is_not_even_read(folder: Path) -> None:
    (write_package(folder, "tiny", 2) / "model.onnx").write_bytes(b"")
    write_package(folder, "tiny", 3)
    async with serving(folder, version_policy="latest:1") as engine:
        assert versions(engine) == ["3"]
        assert await reason(engine, version="2") == "not among the versions that were loaded"


async def test_a_load_that_fails_leaves_nothing_of_what_it_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[weakref.ref[Session]] = []

    async with controlled(folder) as engine:
        reader = engine.loader._reader
        real = reader._load

        def recorded(*arguments: Any, **options: Any) -> Session:
            session = real(*arguments, **options)
            sessions.append(weakref.ref(session))
            return session

        monkeypatch.setattr(reader, "_load", recorded)
        other_golden(folder / "tiny/1")
        with pytest.raises(InvalidPackage, match="golden output"):
            await engine.control.load("tiny")
        assert [session() for session in sessions] == [None]
