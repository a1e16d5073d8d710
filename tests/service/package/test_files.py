"""Nothing is opened but regular files inside a package's folder."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from service.package import files as files_module
from service.package import read_package, sha256
from tests.service.package.refusal import refused, refused_in_time


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_out(path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_text("secret")
    path.symlink_to(outside)


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (os.mkfifo, "a FIFO"),
    "folder": (make_folder, "a folder"),
    "socket": (make_socket, "a socket"),
    "device": (link_to_a_device, "a link out of the package's folder"),
    "link_out": (link_out, "a link out of the package's folder"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("file", ["model.json", "model.onnx", "labels.txt", "golden.npz"])
def test_what_is_no_regular_file_of_the_folder_is_refused_unopened(file: str, kind: str, folder: Path) -> None:
    make, words = SPECIAL[kind]
    (folder / file).unlink()
    make(folder / file)
    refused(folder, naming=f"{file} is {words}")


def test_a_fifo_that_only_the_graph_may_name_is_refused_wherever_it_lies(folder: Path) -> None:
    (folder / "below").mkdir()
    os.mkfifo(folder / "below/weights.bin")
    refused(folder, naming="below/weights.bin is a FIFO")


@pytest.mark.parametrize("opens", [sha256, lambda path: files_module.read(path, 100)])
def test_a_fifo_put_in_a_files_place_after_it_was_checked_blocks_nobody(
    opens: Callable[[Path], object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "labels.txt").unlink()
    os.mkfifo(folder / "labels.txt")
    monkeypatch.setattr(files_module, "is_file", lambda _: True)
    assert "labels.txt is a FIFO; a package may have only regular files" in refused_in_time(
        lambda: opens(folder / "labels.txt")
    )


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "labels.txt").unlink()
    (folder / "labels.txt").symlink_to("other.txt")
    (folder / "other.txt").symlink_to("labels.txt")
    with pytest.raises(OSError, match="symbolic links"):
        read_package(folder)


def test_a_link_to_a_folder_elsewhere_is_refused(folder: Path) -> None:
    (folder / "below").symlink_to("/etc")
    refused(folder, naming="below is a link out")


def test_a_folder_of_links_as_a_mounted_config_map_is_read(folder: Path) -> None:
    data = folder / "..2024_11_21"
    data.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(data / path.name)
        path.symlink_to(f"..data/{path.name}")
    (folder / "..data").symlink_to(data.name)
    assert read_package(folder).labels == ("zero", "one", "two")


def test_a_folder_reached_by_a_link_is_read(folder: Path) -> None:
    moved = folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(moved)
    assert read_package(folder).card.name == "tiny"


def test_more_entries_than_a_package_has_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_ENTRIES", 5)
    assert read_package(folder).labels
    (folder / "below/below").mkdir(parents=True)
    refused(folder, naming="over 5 entries")
