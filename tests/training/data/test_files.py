import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.data.hosts import NOBODY, host
from tests.training.tiny import Tiny
from training.data import files
from training.data.published import TEST, TRAIN, PublishedSource
from training.errors import DataError


def everything_under(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))


def at(source: PublishedSource, folder: Path, *mirrors: str) -> PublishedSource:
    return replace(source, folder=folder, mirrors=mirrors)


def test_a_missing_file_is_downloaded_verified_and_kept(tiny: Tiny, tmp_path: Path) -> None:
    with host(tiny.folder / "mnist") as mirror:
        content = at(tiny.source, tmp_path, mirror).read(TEST[0])
    assert content == tiny.files[TEST[0]]
    assert everything_under(tmp_path) == [f"{TEST[0]}.gz"]
    assert at(tiny.source, tmp_path, NOBODY).read(TEST[0]) == content


def test_the_next_host_is_asked_where_one_does_not_answer(tiny: Tiny, tmp_path: Path) -> None:
    with host(tiny.folder / "mnist") as mirror, host(tmp_path) as empty:
        source = at(tiny.source, tmp_path / "data", NOBODY, empty, mirror)
        assert source.read(TEST[1]) == tiny.files[TEST[1]]


def test_a_download_of_another_file_is_refused_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    wrong = tmp_path / "host"
    wrong.mkdir()
    (wrong / f"{TEST[0]}.gz").write_bytes(gzip.compress(tiny.files[TRAIN[0]]))
    with host(wrong) as mirror, pytest.raises(DataError) as error:
        at(tiny.source, tmp_path / "data", mirror).read(TEST[0])
    message = str(error.value)
    assert f"{mirror}{TEST[0]}.gz" in message
    assert f"sha256 {tiny.source.files[TRAIN[0]]}; expected {tiny.source.files[TEST[0]]}" in message
    assert everything_under(tmp_path / "data") == []


def test_a_download_cut_short_is_refused_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    wrong = tmp_path / "host"
    wrong.mkdir()
    (wrong / f"{TEST[0]}.gz").write_bytes(gzip.compress(tiny.files[TEST[0]])[:-100])
    with host(wrong) as mirror, pytest.raises(DataError, match=r"not a complete \.gz file"):
        at(tiny.source, tmp_path / "data", mirror).read(TEST[0])
    assert everything_under(tmp_path / "data") == []


def test_no_host_that_answers_is_an_error_that_names_them(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz could not be downloaded. http://127.0.0.1:9/"):
        at(tiny.source, tmp_path, NOBODY).read(TEST[1])
    assert everything_under(tmp_path) == []


def test_a_set_without_a_host_says_what_to_put_where(tiny_colour: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        at(tiny_colour.source, tmp_path).test()
    message = str(error.value)
    assert str(tmp_path / "cifar10-jpeg" / "test.tar.xz") in message
    assert (
        f"a tar archive of <split>/<class>/<number>.jpg with sha256 {tiny_colour.source.files['test.tar']}" in message
    )
    assert "LECTORIUM_DATA" in message
    assert everything_under(tmp_path) == []


def test_a_wrong_file_at_hand_is_refused_and_not_touched(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "mnist" / f"{TEST[1]}.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match=f"expected {tiny.source.files[TEST[1]]}") as error:
        at(tiny.source, tmp_path).read(TEST[1])
    assert str(path) in str(error.value)
    assert gzip.decompress(path.read_bytes()) == b"something else"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "mnist").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="LECTORIUM_DATA"):
        at(tiny.source, tmp_path, NOBODY).read(TEST[1])


@pytest.mark.parametrize("name", ["train.tar", "test.tar"])
def test_a_file_that_unpacks_to_more_than_any_set_has_is_refused(
    tiny_colour: Tiny, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = len(tiny_colour.files[name])
    monkeypatch.setattr(files, "MAX_CONTENT", length)
    assert len(tiny_colour.source.read(name)) == length
    monkeypatch.setattr(files, "MAX_CONTENT", length - 1)
    with pytest.raises(DataError, match=f"more than {length - 1} bytes"):
        tiny_colour.source.read(name)


def test_a_file_may_be_published_as_it_is(tmp_path: Path) -> None:
    content = b"a list\n"
    file = files.Published("set", "Set", (), "list.gz.txt", "", "a list", hashlib.sha256(content).hexdigest())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / file.name).write_bytes(content)
    assert files.read_file(file, tmp_path) == content
    (tmp_path / "set" / file.name).write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"the content has sha256 .*; expected {file.sha256}"):
        files.read_file(file, tmp_path)


def test_a_file_as_it_is_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_CONTENT", 3)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "list").write_bytes(b"four")
    with pytest.raises(DataError, match="more than 3 bytes of content"):
        files.read_file(files.Published("set", "Set", (), "list", "", "a list", "0" * 64), tmp_path)
