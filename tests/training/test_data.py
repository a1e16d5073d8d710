import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.tiny import Tiny, digits
from training.data import TEST, TRAIN, Source, load_split, load_test, load_training, read_file
from training.errors import DataError

NOBODY = "http://127.0.0.1:9/"  # the discard port: nothing listens


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def host(folder: Path) -> Iterator[str]:
    """A real HTTP server on the loopback, serving ``folder``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def everything_under(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))


def at(source: Source, *mirrors: str) -> Source:
    return replace(source, mirrors=mirrors)


def test_a_folder_at_hand_is_read_without_a_download(tiny: Tiny) -> None:
    images, labels = digits()
    test = load_test(at(tiny.source, NOBODY), tiny.folder)
    assert (test.images == images[220:]).all()
    assert (test.labels == labels[220:]).all()


def test_training_and_validation_share_no_example_and_lose_none(tiny: Tiny) -> None:
    training, validation = load_training(tiny.source, tiny.folder, 50, seed=1)
    assert (len(training), len(validation)) == (170, 50)
    pieces = [image.tobytes() for split in (training, validation) for image in split.images]
    assert sorted(pieces) == sorted(image.tobytes() for image in digits()[0][:220])


def test_labels_stay_with_their_images(tiny: Tiny) -> None:
    images, labels = digits()
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for split in load_training(tiny.source, tiny.folder, 50, seed=1):
        assert [label_of[image.tobytes()] for image in split.images] == list(split.labels)


def test_the_seed_decides_the_split(tiny: Tiny) -> None:
    first, again, other = (load_training(tiny.source, tiny.folder, 50, seed)[1].images for seed in (1, 1, 2))
    assert (first == again).all()
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("held_out", [0, 220, 5000])
def test_holding_out_nothing_or_everything_is_refused(tiny: Tiny, held_out: int) -> None:
    with pytest.raises(DataError, match=f"{held_out} of 220 examples"):
        load_training(tiny.source, tiny.folder, held_out, seed=0)


def test_a_missing_file_is_downloaded_verified_and_kept(tiny: Tiny, tmp_path: Path) -> None:
    with host(tiny.folder / "mnist") as mirror:
        content = read_file(at(tiny.source, mirror), tmp_path, TEST[0])
    assert content == tiny.files[TEST[0]]
    assert everything_under(tmp_path) == [f"{TEST[0]}.gz"]
    assert read_file(at(tiny.source, NOBODY), tmp_path, TEST[0]) == content


def test_the_next_host_is_asked_where_one_does_not_answer(tiny: Tiny, tmp_path: Path) -> None:
    with host(tiny.folder / "mnist") as mirror, host(tmp_path) as empty:
        source = at(tiny.source, NOBODY, empty, mirror)
        assert read_file(source, tmp_path / "data", TEST[1]) == tiny.files[TEST[1]]


def test_a_download_of_another_file_is_refused_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    wrong = tmp_path / "host"
    wrong.mkdir()
    (wrong / f"{TEST[0]}.gz").write_bytes(gzip.compress(tiny.files[TRAIN[0]]))
    with host(wrong) as mirror, pytest.raises(DataError) as error:
        read_file(at(tiny.source, mirror), tmp_path / "data", TEST[0])
    message = str(error.value)
    assert f"{mirror}{TEST[0]}.gz" in message
    assert f"sha256 {tiny.source.files[TRAIN[0]]}, wanted {tiny.source.files[TEST[0]]}" in message
    assert everything_under(tmp_path / "data") == []


def test_a_download_cut_short_is_refused_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    wrong = tmp_path / "host"
    wrong.mkdir()
    (wrong / f"{TEST[0]}.gz").write_bytes(gzip.compress(tiny.files[TEST[0]])[:-100])
    with host(wrong) as mirror, pytest.raises(DataError, match="not a whole gzip file"):
        read_file(at(tiny.source, mirror), tmp_path / "data", TEST[0])
    assert everything_under(tmp_path / "data") == []


def test_no_host_at_all_is_an_error_that_names_them(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz could not be downloaded. http://127.0.0.1:9/"):
        read_file(at(tiny.source, NOBODY), tmp_path, TEST[1])
    assert everything_under(tmp_path) == []


def test_a_wrong_file_at_hand_is_refused_and_not_touched(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "mnist" / f"{TEST[1]}.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match=f"wanted {tiny.source.files[TEST[1]]}") as error:
        read_file(tiny.source, tmp_path, TEST[1])
    assert str(path) in str(error.value)
    assert gzip.decompress(path.read_bytes()) == b"something else"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "mnist").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="LECTORIUM_DATA"):
        read_file(tiny.source, tmp_path, TEST[1])


def test_images_without_their_labels_are_refused(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="not images and their labels"):
        load_split(tiny.source, tiny.folder, (TRAIN[0], TEST[1]))


def test_a_label_outside_the_classes_is_refused(tiny: Tiny) -> None:
    source = replace(tiny.source, labels=tuple("01234567"))
    with pytest.raises(DataError, match="label 9, MNIST has 8 classes"):
        load_test(source, tiny.folder)
