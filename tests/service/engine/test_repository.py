"""The repository: what is served by which name and version, and its index."""

from functools import partial
from pathlib import Path

import pytest

from service.engine.model import Model
from service.engine.repository import Repository, Row
from service.engine.session import Session
from service.errors import UnknownModel
from service.package import read_package
from service.package.serving import All, Latest, VersionPolicy
from tests.packages import write_package

ALL = VersionPolicy(all=All())


def load(folder: Path, name: str = "tiny", *versions: int) -> list[Model]:
    """Models of new packages."""
    return [
        Model(read_package(write_package(folder, name, version)), partial(Session, intra_op=1))
        for version in versions or (1,)
    ]


@pytest.fixture
def models(tmp_path: Path) -> Repository:
    """`tiny` in three versions, and `other`."""
    models = Repository()
    models.swap("tiny", load(tmp_path, "tiny", 2, 9, 10), ALL)
    models.swap("other", load(tmp_path, "other"), ALL)
    return models


def test_versions_are_numbers_and_the_highest_answers_where_none_is_named(models: Repository) -> None:
    assert models.names == ["other", "tiny"]
    assert models.versions("tiny") == ["2", "9", "10"]
    assert models.get("tiny").version == models.get("tiny", None).version == models.get("tiny", "").version == "10"
    assert models.get("tiny", "9").version == "9"
    assert [(model.name, model.version) for model in models] == [
        ("other", "1"),
        ("tiny", "2"),
        ("tiny", "9"),
        ("tiny", "10"),
    ]


def test_one_version_all_of_a_model_or_everything_may_be_selected(models: Repository) -> None:
    assert [model.version for model in models.select("tiny", "9")] == ["9"]
    assert [model.version for model in models.select("tiny")] == ["2", "9", "10"]
    assert models.select() == list(models)


@pytest.mark.parametrize("version", ["3", "02", "latest", "-1", "2 ", "1" * 500])
def test_an_unknown_version_is_refused_with_those_there_are(version: str, models: Repository) -> None:
    with pytest.raises(UnknownModel, match=r"'tiny' has no version .*; it has \['2', '9', '10'\]") as refused:
        models.get("tiny", version)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("tinny", "; did you mean 'tiny'?"),
        ("others", "; did you mean 'other'?"),
        ("", ""),
        ("huge", ""),
        ("T" * 500, ""),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest_there_are(name: str, nearest: str, models: Repository) -> None:
    with pytest.raises(UnknownModel) as refused:
        models.get(name)
    assert str(refused.value) == f"no model {name[:80]!r}{nearest}"
    for ask in (models.versions, models.policy):
        with pytest.raises(UnknownModel):
            ask(name)


def test_a_swap_takes_the_place_of_all_versions_and_returns_those_that_go(tmp_path: Path, models: Repository) -> None:
    old = {model.version: model for model in models.select("tiny")}
    (new,) = load(tmp_path / "new", "tiny", 11)
    latest = VersionPolicy(latest=Latest(num_versions=2))
    assert models.swap("tiny", [old["10"], new], latest) == [old["2"], old["9"]]
    assert models.select("tiny") == [old["10"], new]
    assert models.policy("tiny") == latest
    assert models.policy("other") == ALL


def test_a_removed_model_is_unknown(models: Repository) -> None:
    assert [model.version for model in models.remove("tiny")] == ["2", "9", "10"]
    assert models.names == ["other"]
    assert models.remove("tiny") == []


def test_the_index_has_what_is_served_and_what_lies_in_the_folder(models: Repository) -> None:
    assert models.index({"tiny": [9, 10, 11], "idle": [1]}) == [
        Row("idle", "1", "UNAVAILABLE", "not loaded"),
        Row("other", "1", "READY", ""),
        Row("tiny", "2", "READY", ""),
        Row("tiny", "9", "READY", ""),
        Row("tiny", "10", "READY", ""),
        Row("tiny", "11", "UNAVAILABLE", "not among the versions that were loaded"),
    ]


def test_the_index_says_what_is_being_loaded(models: Repository) -> None:
    with models.loading("tiny"), models.loading("sent"):
        assert models.index({"tiny": [10, 11]})[-2:] == [
            Row("tiny", "10", "READY", ""),
            Row("tiny", "11", "LOADING", ""),
        ]
        assert Row("sent", "", "LOADING", "") in models.index({})
    assert {row.state for row in models.index({})} == {"READY"}


def test_the_index_says_why_a_load_failed_until_one_succeeds(models: Repository) -> None:
    models.failed("tiny", "it is damaged")
    models.failed("new", "no labels")
    rows = models.index({"tiny": [10, 11], "new": [1]})
    assert Row("tiny", "10", "READY", "it is damaged") in rows
    assert Row("tiny", "11", "UNAVAILABLE", "it is damaged") in rows
    assert Row("new", "1", "UNAVAILABLE", "no labels") in rows
    models.swap("tiny", models.select("tiny"), ALL)
    models.remove("new")
    assert {row.reason for row in models.index({})} == {""}


def test_a_model_is_unloading_for_as_long_as_somebody_holds_it(models: Repository) -> None:
    held = models.remove("tiny")[0]
    assert models.index({"tiny": [2, 9]}) == [
        Row("other", "1", "READY", ""),
        Row("tiny", "2", "UNLOADING", "requests from before it was unloaded are still in progress"),
        Row("tiny", "9", "UNAVAILABLE", "not loaded"),
    ]
    del held
    assert models.index({}) == [Row("other", "1", "READY", "")]
