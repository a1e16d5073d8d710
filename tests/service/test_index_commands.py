"""`lectorium index` makes, changes and describes an index, and says what it skipped."""

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from service.index_commands import index
from service.indexes import Indexes, Opened
from tests.embedding_packages import vectors, write_embedding_package
from tests.packages import example
from tests.pictures import png

COUNT = 40  # more than a batch


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, and of files that are none; the commands find it, the model and the folder of indexes."""
    for name in [name for name in os.environ if name.startswith("LECTORIUM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LECTORIUM_INDEXES", str(tmp_path / "indexes"))
    monkeypatch.setenv("LECTORIUM_REPOSITORY", str(tmp_path / "zoo"))
    write_embedding_package(tmp_path / "zoo")
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for seed in range(COUNT):
        (folder / "sub" / f"{seed}.png").write_bytes(png(example(1, seed)[0]))
    (folder / "note.txt").write_text("no image")
    (folder / "empty.png").touch()
    os.mkfifo(folder / "fifo")
    return folder


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(index, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def opened(tmp_path: Path) -> Opened:
    return Indexes(tmp_path / "indexes")("some")


def test_an_index_is_built_of_a_folder_and_says_what_it_skipped(images: Path, tmp_path: Path) -> None:
    output = run("build", "some", "--images", images, "--model", "vectors", "--thumbnail", 3).output
    assert "skipped note.txt: the 8 bytes are not an image" in output
    assert "skipped empty.png: the image has 0 bytes" in output
    assert "skipped fifo:" in output
    assert f"added {COUNT}, skipped 3; index 'some' has {COUNT} items" in output
    [found], items = opened(tmp_path).search(vectors(example(1, 7))[0], 1, thumbnails=True)
    assert (found.name, items) == ("sub/7.png", COUNT)
    assert found.thumbnail is not None
    assert found.distance == pytest.approx(0, abs=1e-6)
    output = run("info", "some").output
    assert f"some: {COUNT} of at most 100,000 items" in output
    assert "vectors/1" in output


def test_bits_are_set_over_the_mean_of_the_images(images: Path, tmp_path: Path) -> None:
    run("build", "some", "--images", images, "--model", "vectors", "--metric", "hamming")
    every = np.concatenate([vectors(example(1, seed)) for seed in range(COUNT)])
    bits = every > every.mean(axis=0, dtype="f8").astype("f4")
    for each in opened(tmp_path).search(every[5], COUNT, thumbnails=False).found:
        seed = int(each.name.removeprefix("sub/").removesuffix(".png"))
        assert each.distance == (bits[seed] != bits[5]).sum()


def test_a_build_that_was_interrupted_goes_on(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.index_commands._end", lambda *_: None)
    late = images / "sub" / "0.png"
    content = late.read_bytes()
    late.unlink()
    arguments = ("build", "some", "--images", images, "--model", "vectors")
    run(*arguments)
    assert "not complete" not in run("info", "some").output
    assert "no: run the same build again" in run("info", "some").output
    monkeypatch.undo()
    monkeypatch.setenv("LECTORIUM_INDEXES", str(tmp_path / "indexes"))
    monkeypatch.setenv("LECTORIUM_REPOSITORY", str(tmp_path / "zoo"))
    late.write_bytes(content)
    assert "was begun with other options" in run(*arguments, "--metric", "euclidean", code=1).output
    assert f"{COUNT - 1} of {COUNT + 3} are in the index already\n" in run(*arguments).output
    assert opened(tmp_path).search(vectors(example(1, 0))[0], 1, thumbnails=False).items == COUNT
    assert "is there already; 'lectorium index add' adds images" in run(*arguments, code=1).output


def test_items_are_added_and_removed(images: Path, tmp_path: Path) -> None:
    run("build", "some", "--images", images, "--model", "vectors")
    new = tmp_path / "new.png"
    new.write_bytes(png(example(1, 77)[0]))
    assert f"added 1, skipped 0; index 'some' has {COUNT + 1} items" in run("add", "some", new).output
    assert f"index 'some' has {COUNT + 1} items" in run("add", "some", new).output  # replaced
    assert opened(tmp_path).search(vectors(example(1, 77))[0], 1, thumbnails=False).found[0].name == "new.png"
    output = run("remove", "some", "new.png", "none.png", code=1).output
    assert f"removed 1 of 2; index 'some' has {COUNT} items" in output
    assert "not in the index: ['none.png']" in output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--model", "none"), 1, "none"),
        (("--model", "vectors", "--max-items", "5"), 1, "there are more than 5 files"),
        (("--model", "vectors", "--threshold", "1"), 2, "needs --metric hamming"),
        (("--model", "vectors", "--metric", "hamming", "--threshold", "nan"), 2, "it must be finite"),
    ],
)
def test_a_build_is_refused_in_words(images: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    assert words in run("build", "some", "--images", images, *arguments, code=code).output


def test_no_index_is_made_outside_the_folder(images: Path) -> None:
    assert "index is '../x'" in run("build", "../x", "--images", images, "--model", "vectors", code=1).output
    assert "no index 'nobody'" in run("info", "nobody", code=1).output
