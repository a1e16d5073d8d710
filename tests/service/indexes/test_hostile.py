"""Index files that lie, and names that are no names: each is refused in words, and nothing in them is run."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from service.errors import IndexBusy, InvalidArgument, InvalidIndex, UnknownIndex
from service.indexes import Indexes, Item, Store, add, checked_item_name
from service.indexes.schema import FILE
from tests.service.indexes.making import DIMENSION, description, items, random_vectors, write_index


def run(sql: str, *values: object) -> Callable[[Path], None]:
    """What changes the file of an index by SQL."""

    def change(folder: Path) -> None:
        with closing(sqlite3.connect(folder / FILE)) as connection:
            connection.execute(sql, values)
            connection.commit()

    return change


def write(content: bytes, at: int = 0) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / FILE).open("r+b") as file:
            file.seek(at)
            file.write(content)

    return change


def linked(folder: Path) -> None:
    (folder / FILE).rename(folder.parent / "elsewhere")
    (folder / FILE).symlink_to(folder.parent / "elsewhere")


def fifo(folder: Path) -> None:
    (folder / FILE).unlink()
    os.mkfifo(folder / FILE)


def described(**changes: object) -> Callable[[Path], None]:
    fields = description().model_dump() | changes
    return run("UPDATE summary SET description = ?", str(fields).replace("'", '"'))


LIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no database": (write(b"not a database at all"), "file is not a database"),
    "zeros in the middle": (write(b"\0" * 8192, at=4096), "malformed|other tables|damaged"),
    "a link": (linked, "must be a regular file"),
    "a FIFO": (fifo, "must be a regular file"),
    "a trigger": (
        run("CREATE TRIGGER t AFTER UPDATE ON summary BEGIN DELETE FROM item; END"),
        "other tables",
    ),
    "a view": (run("CREATE VIEW v AS SELECT * FROM item"), "other tables"),
    "a column more": (run("ALTER TABLE item ADD COLUMN more TEXT"), "other tables"),
    "no summary": (run("DELETE FROM summary"), "it has 0 descriptions"),
    "no JSON": (run("UPDATE summary SET description = 'x'"), "Invalid JSON"),
    "a longer description": (run("UPDATE summary SET description = ?", "x" * 300_000), "too big"),
    "another name": (described(name="other"), "it says that it is 'other'"),
    "huge dimension": (described(dimension=10**9), "dimension: Input should be less than or equal to 16384"),
    "huge count": (described(max_items=10**12), "max_items: Input should be less than"),
    "too much memory": (described(dimension=16384, max_items=10**6), "it may be 1 to 16384"),
    "an unknown key": (described(evil=1), "evil: Extra inputs"),
    "a metric of its own": (described(metric="sql"), "metric: Input should be"),
    "another dimension": (described(dimension=DIMENSION + 1), "has 48 bytes; dimension 13 needs 52"),
    "a huge change": (run("UPDATE summary SET change = ?", 2**63 - 1), "its summary is"),
    "a negative count": (run("UPDATE summary SET items = -1"), "its summary is"),
    "more items than it may have": (described(max_items=3), "it has more than 3 items"),
    "no thresholds": (described(metric="hamming"), "it has no thresholds"),
    "not a number": (
        run("UPDATE item SET vector = ? WHERE id = 2", np.full(DIMENSION, np.nan, "<f4").tobytes()),
        "item 2 has a number that is not finite",
    ),
    "a number that overflows": (
        run("UPDATE item SET vector = ? WHERE id = 2", np.full(DIMENSION, 3e38, "<f4").tobytes()),
        "item 2 has a number that is not finite, or too large",
    ),
    "a name that controls a terminal": (
        run("UPDATE item SET name = ? || id", "\x1b[2J"),
        r"name has the character U\+001B at 0",
    ),
    "not complete": (run("UPDATE summary SET complete = 0"), "is not complete"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_in_words(lie: str, tmp_path: Path) -> None:
    change, words = LIES[lie]
    vectors = random_vectors(40)
    folder = write_index(tmp_path, vectors)
    change(folder)
    with pytest.raises(InvalidIndex, match=words):
        Indexes(tmp_path)("some").search(vectors[0], 3, thumbnails=True)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "-x", "a" * 65, "a\0b", "a\n", "é"])
def test_a_name_that_leads_elsewhere_is_no_index(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"index is .*; allowed are 1 to 64 letters"):
        Indexes(tmp_path)(name)


def test_an_index_that_is_missing_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownIndex, match="no index 'some'"):
        Indexes(tmp_path)("some")


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\x00", "\x9b", "\ud800", "a\u2028b"])
def test_an_item_needs_a_name_of_one_line(name: str) -> None:
    with pytest.raises(InvalidArgument, match="name has"):
        checked_item_name(name)


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (np.zeros(DIMENSION - 1, "f4"), r"a vector has shape \[11\]; index 'some' needs \[12\]"),
        (np.full(DIMENSION, np.inf, "f4"), "the vector of 'x' has a number that is not finite"),
        (np.full(DIMENSION, 1e16, "f4"), "too large for an index"),
    ],
)
def test_a_vector_that_cannot_be_compared_is_not_added(vector: object, words: str, tmp_path: Path) -> None:
    store = Store(write_index(tmp_path, random_vectors(2)))
    with pytest.raises(InvalidArgument, match=words):
        add(store, [*items(random_vectors(1), 7), Item("x", vector, None)], 1)  # type: ignore[arg-type]
    assert store.summary().items == 2  # all or none


def test_a_full_index_takes_no_more_but_replaces(tmp_path: Path) -> None:
    store = Store(write_index(tmp_path, random_vectors(3), max_items=3))
    with pytest.raises(InvalidIndex, match="index 'some' would have 4 items; its limit is 3"):
        add(store, items(random_vectors(1), 3), 1)
    assert add(store, items(random_vectors(1), 2), 1) == [True]


def test_a_writer_waits_only_as_long_as_it_may(tmp_path: Path) -> None:
    folder = write_index(tmp_path, random_vectors(3))
    busy, waiting = Store(folder), Store(folder)
    with busy.writing(1), pytest.raises(IndexBusy, match="'some' is being written by others; try again later"):
        add(waiting, items(random_vectors(1), 3), 0.05)
    assert add(waiting, items(random_vectors(1), 3), 1) == [False]
