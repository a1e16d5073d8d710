"""The tables of an index, and opening its SQLite file with care: it may come from anywhere."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from service.errors import IndexBusy, InvalidIndex, UnknownIndex

FILE = "index.sqlite"
# Of a text or blob in the file; the largest is a vector of 64 KiB, or a description.
MAX_VALUE_BYTES = 256 << 10
_MAX_SCHEMA = 16  # tables and indices; ours are fewer
# An item that was removed stays, without its vector, so that other processes learn that it is gone. ``forgotten`` is
# the last change of those that were deleted since: who has seen less than that reads everything again.
_TABLES = (
    """CREATE TABLE summary (
        id INTEGER PRIMARY KEY CHECK (id = 1), description TEXT NOT NULL, thresholds BLOB, complete INTEGER NOT NULL,
        change INTEGER NOT NULL, items INTEGER NOT NULL, removed INTEGER NOT NULL, forgotten INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE item (
        id INTEGER PRIMARY KEY, change INTEGER NOT NULL, name TEXT NOT NULL UNIQUE, vector BLOB, thumbnail BLOB
    ) STRICT""",
    "CREATE UNIQUE INDEX item_change ON item (change)",
)
_SCHEMA = f"SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name LIMIT {_MAX_SCHEMA}"


def create(path: Path, description: str) -> None:
    """Make the file, with no item.

    Raises:
        FileExistsError: there is one.
        InvalidIndex: SQLite cannot make it.
    """
    name = path.parent.name
    # Whole under another name first, or a process that is killed halfway would leave a file that is no index.
    made = path.with_name(f"{FILE}.{os.getpid()}")
    made.touch(0o644)
    try:
        with plain_errors(name), closing(_connect(made)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO summary VALUES (1, ?, NULL, 0, 0, 0, 0, 0)", (description,))
            connection.execute("COMMIT")
        os.link(made, path)  # a rename would replace another one's
    finally:
        made.unlink()


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an index's file; each use of it is inside `plain_errors`.

    A file whose tables are not exactly ours is refused before anything is read from them: triggers, views and generated
    columns can run a stranger's SQL.

    Raises:
        UnknownIndex: there is no such file.
        InvalidIndex: it is no index of ours.
    """
    name = path.parent.name
    _check_file(name, path)
    with plain_errors(name):
        connection = _connect(path)
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                raise InvalidIndex(f"index {name!r}: {FILE} was not made by 'lectorium index': its journal is no WAL")
            if connection.execute(_SCHEMA).fetchall() != _expected():
                raise InvalidIndex(f"index {name!r}: {FILE} was not made by 'lectorium index': it has other tables")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """Report SQLite's errors with index ``name`` as ours.

    Raises:
        IndexBusy: others held the index for longer than this may wait.
        InvalidIndex: the file is damaged, or cannot be read or written.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what the kind is extended by
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise IndexBusy(f"index {name!r} is being written by others; try again later") from error
        if code == sqlite3.SQLITE_FULL:
            raise InvalidIndex(f"index {name!r}: there is no room for it on the disk") from error
        raise InvalidIndex(f"index {name!r} cannot be used: {error}") from error


def _check_file(name: str, path: Path) -> None:
    if not os.path.lexists(path):
        raise UnknownIndex(f"no index {name!r}")
    for each in (path.parent, path, *(path.with_name(FILE + end) for end in ("-wal", "-shm"))):
        mode = each.lstat().st_mode if os.path.lexists(each) else stat.S_IFREG
        if not (stat.S_ISDIR(mode) if each == path.parent else stat.S_ISREG(mode)):
            raise InvalidIndex(f"index {name!r}: {each.name} must be a regular file in a folder, not a link")


def _connect(path: Path) -> sqlite3.Connection:
    where = f"file:{quote(str(path.absolute()))}?mode=rw"
    # One thread at a time uses it, but not always the same.
    connection = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "synchronous = FULL", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _expected() -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for table in _TABLES:
            connection.execute(table)
        return connection.execute(_SCHEMA).fetchall()
