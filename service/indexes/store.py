"""The durable part of an index: one SQLite file, in which an acknowledged write survives the process.

Each change has a number, one more than the last; a reader asks for the items whose change is newer than what it has.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.errors import InvalidArgument, InvalidIndex
from service.indexes.description import Description, checked_item_name, usable
from service.indexes.schema import FILE, connect, create, plain_errors

_MOST_CHANGES = 1 << 62


class Item(NamedTuple):
    """An item to add: its name, its vector (D,) and its thumbnail, a PNG file or None."""

    name: str
    vector: NDArray[np.float32]
    thumbnail: bytes | None


class Row(NamedTuple):
    """An item as it was changed last; its vector (D,) is None if it was removed."""

    id: int
    change: int
    vector: NDArray[np.float32] | None


class Summary(NamedTuple):
    """The state of an index: its last change, its items, and those removed; ``forgotten`` as in `schema`."""

    complete: bool
    change: int
    items: int
    removed: int
    forgotten: int


class Store:
    """An index's file, opened. One thread at a time may use it.

    Raises:
        UnknownIndex: there is none.
        InvalidIndex: it is damaged, or no index of ours. All methods raise it, and `IndexBusy`.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.name = folder.name
        self._connection = connect(self.path)
        try:
            with plain_errors(self.name):
                found = self._connection.execute("SELECT description FROM summary").fetchall()
            self.description = self._described(found)
            found_at = self.path.stat()
        except BaseException:
            self.close()
            raise
        self._file = found_at.st_dev, found_at.st_ino

    @classmethod
    def create(cls, folder: Path, description: Description) -> "Store":
        """Make an index that is not complete, and has no item.

        Raises:
            FileExistsError: there is one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        create(folder / FILE, description.model_dump_json())
        return cls(folder)

    @property
    def replaced(self) -> bool:
        """Whether another file is at its place, or none, since it was opened."""
        try:
            found = self.path.lstat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._file

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one moment."""
        with plain_errors(self.name):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def summary(self) -> Summary:
        """The state of the index."""
        with plain_errors(self.name):
            found = self._connection.execute(
                "SELECT complete, change, items, removed, forgotten FROM summary"
            ).fetchall()
        if len(found) != 1 or not all(0 <= number < _MOST_CHANGES for number in found[0]):
            raise self._damaged(f"its summary is {found[:2]}")
        return Summary(bool(found[0][0]), *found[0][1:])

    def thresholds(self) -> NDArray[np.float32] | None:
        """The thresholds (D,) of the bits; None if the index has none."""
        with plain_errors(self.name):
            [(found,)] = self._connection.execute("SELECT thresholds FROM summary").fetchall()
        return None if found is None else self._vector(found, "its thresholds")

    def rows(self, after: int, most: int) -> list[Row]:
        """At most ``most`` items that were changed ``after`` that change, the oldest first."""
        with plain_errors(self.name):
            found = self._connection.execute(
                "SELECT id, change, vector FROM item WHERE change > ? ORDER BY change LIMIT ?", (after, most)
            ).fetchall()
        rows = []
        for id, change, vector in found:
            if not after < change < _MOST_CHANGES:
                raise self._damaged(f"change {change} follows change {after}")
            after = change
            rows.append(Row(id, change, None if vector is None else self._vector(vector, f"item {id}")))
        return rows

    def item(self, id: int, *, thumbnail: bool) -> tuple[str, bytes | None]:
        """The name of an item, and its thumbnail, if it is wanted and there is one."""
        column = "thumbnail" if thumbnail else "NULL"
        with plain_errors(self.name):
            found = self._connection.execute(f"SELECT name, {column} FROM item WHERE id = ?", (id,)).fetchone()
        if found is None:
            raise self._damaged(f"item {id} is missing")
        try:
            return checked_item_name(found[0]), found[1]
        except InvalidArgument as error:
            raise self._damaged(f"item {id}: {error}") from error

    def has(self, name: str) -> bool:
        """Whether there is an item of that name."""
        with plain_errors(self.name):
            found = self._connection.execute("SELECT 1 FROM item WHERE name = ? AND vector IS NOT NULL", (name,))
            return found.fetchone() is not None

    @contextmanager
    def writing(self, wait_s: float) -> Iterator[sqlite3.Connection]:
        """A change, which is on the disk when the block ends; it waits so many seconds for other writers."""
        with plain_errors(self.name):
            self._connection.execute(f"PRAGMA busy_timeout = {max(1, int(wait_s * 1e3))}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _described(self, found: list[tuple[str]]) -> Description:
        if len(found) != 1:
            raise self._damaged(f"it has {len(found)} descriptions")
        try:
            description = Description.model_validate_json(found[0][0])
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}"[:200] for e in error.errors()[:5])
            raise self._damaged(problems) from error
        if description.name != self.name:
            raise self._damaged(f"it says that it is {description.name!r}; its folder must have its name")
        return description

    def _vector(self, content: bytes, what: str) -> NDArray[np.float32]:
        dimension = self.description.dimension
        if len(content) != 4 * dimension:
            raise self._damaged(f"{what} has {len(content)} bytes; dimension {dimension} needs {4 * dimension}")
        vector = np.frombuffer(content, "<f4")
        if not usable(vector):
            raise self._damaged(f"{what} has a number that is not finite, or too large")
        return vector

    def _damaged(self, why: str) -> InvalidIndex:
        return InvalidIndex(f"index {self.name!r} is damaged: {why}")
